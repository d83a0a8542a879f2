"""Names and numbers of the trickle protocol, as go-livepeer serves it (trickle/trickle_server.go).

`docs/reference/trickle.md` describes them for people; a test compares that page with this module.
"""

from __future__ import annotations

import re
from typing import Final

BASE_PATH: Final = "/ai/trickle"

RING_SEGMENTS: Final = 5
"""Segments that a channel remembers; segment ``seq`` lives in slot ``seq % RING_SEGMENTS``."""

NEXT: Final = -1
"""Read: the segment that is written next. Write: the same."""
CURRENT: Final = -2
"""Read only: the newest segment that was started (0 before any write)."""

NEXT_PART: Final = "next"
"""In place of a number: ask for the next one."""

STATUS_NO_SEGMENT: Final = 470
"""The channel exists, the segment does not."""

HEADER_SEQ: Final = "Lp-Trickle-Seq"
HEADER_LATEST: Final = "Lp-Trickle-Latest"
"""The *next* sequence number of the channel, despite its name."""
HEADER_CLOSED: Final = "Lp-Trickle-Closed"
CLOSED_VALUE: Final = "terminated"
HEADER_RESET: Final = "Lp-Trickle-Reset"
HEADER_CREATE_MIME: Final = "Expect-Content"

BEHIND_DELAY_S: Final = 0.25
"""Before a reader asks again when the channel's next number is a little lower than the one it wants."""
OVERTAKEN_S: Final = 2.0
"""Silence after which a reader leaves a segment that was never ended, when the next one has already started."""

DEFAULT_MIME: Final = "application/octet-stream"

SHOWN_CHARACTERS: Final = 6
"""Of a channel's name, in logs and errors."""

_SEQ = re.compile(r"-?[0-9]{1,18}")


def parse_seq(text: str) -> int | None:
    """Read a sequence number of a path or header.

    :return: the number, or None when the text is not a decimal integer of at most 18 digits
    """
    return int(text) if _SEQ.fullmatch(text) else None


def short_name(channel: str) -> str:
    """Name a channel in a log or an error: by the end of its name, which tells it from others.

    The whole name stays private: who knows it can read a session's channel, and write to it.
    """
    return channel if len(channel) <= SHOWN_CHARACTERS else f"…{channel[-SHOWN_CHARACTERS:]}"
