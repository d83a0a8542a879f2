"""What a reader makes of the answer to a GET: a table, so that it can be tested without a network."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from .protocol import (
    CURRENT,
    HEADER_CLOSED,
    HEADER_LATEST,
    HEADER_SEQ,
    RING_SEGMENTS,
    STATUS_NO_SEGMENT,
    parse_seq,
)


class Step(enum.Enum):
    """What to do next."""

    READ = "read the segment"
    ENDED = "the channel has ended"
    MOVE = "ask for another number at once"
    WAIT = "ask for the same number again a little later"
    RESTARTED = "the writer seems to count from the start again: move there when it says so twice"
    FAILED = "count a failure and try again"


@dataclass(frozen=True)
class Decision:
    """What to do, and for which sequence number."""

    step: Step
    seq: int


def decide(status: int, headers: Mapping[str, str], asked: int) -> Decision:
    """Judge an answer by its status and headers.

    A reader never goes back for a number that is only a little behind: a late POST moves the channel's
    counter backwards, and following it would replay segments. More than a whole ring behind means that the
    counter was started again, and the number we want may never come.

    :param headers: looked up by the names of the protocol module
    :param asked: the number that was asked for, or `NEXT` or `CURRENT`
    """
    if status == 404 or HEADER_CLOSED in headers:
        return Decision(Step.ENDED, asked)
    seq = parse_seq(headers.get(HEADER_SEQ, ""))
    latest = parse_seq(headers.get(HEADER_LATEST, ""))
    if status == 200 and seq is not None and seq >= 0:
        return Decision(Step.READ, seq)
    if status != STATUS_NO_SEGMENT or latest is None or latest < 0:
        return Decision(Step.FAILED, asked)
    return follow(latest, seq if asked < 0 and seq is not None else asked)


def follow(latest: int, wanted: int) -> Decision:
    """Judge where to read on when the wanted segment does not exist.

    :param latest: the channel's next number
    """
    if latest > wanted:
        return Decision(Step.MOVE, latest)
    if latest < wanted - RING_SEGMENTS:
        return Decision(Step.RESTARTED, CURRENT)
    return Decision(Step.WAIT, wanted)
