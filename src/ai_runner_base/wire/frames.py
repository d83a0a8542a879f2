"""Messages of the frame socket (SOCK_SEQPACKET): fixed size, one packet each.

Runner → worker: `FrameReady`, `OutputsFreed`. Worker → runner: `Result`, `Returned`. Every message may carry
the slots that its sender has finished with (`freed`: input slots from the worker, output slots from the
runner), and those of the worker how many frames it asks for (`demand`): one message each way per frame.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from ._errors import WireError

MESSAGE_BYTES = 64
MAX_SIDE_PIXELS = 32768

# kind, demand, slot, freed mask, session, height, width, time base (2), flags, seq, pts, two clock readings
_LAYOUT = struct.Struct("<BBHIIIIIIIQqQQ")
_FRAME_READY, _OUTPUTS_FREED, _RESULT, _RETURNED = 1, 2, 3, 4
_LOADING_FRAME = 1
_MAX_U32 = 2**32 - 1


class FrameReady(NamedTuple):
    """A complete input frame; the worker has its slot from now on."""

    session: int
    seq: int
    """Counts up over the supervisor's life, gaps where frames were replaced; never 0."""
    slot: int
    height: int
    width: int
    pts: int
    time_base: Fraction
    sent_ns: int = 0
    """CLOCK_MONOTONIC when the frame was committed: tells a frame from before a reload."""
    freed: frozenset[int] = frozenset()


class OutputsFreed(NamedTuple):
    """Output slots that the worker may write again."""

    freed: frozenset[int]


class Result(NamedTuple):
    """A complete output frame; the runner has its slot from now on."""

    session: int
    seq: int
    """Of the input frame with the same pts; 0 when the pipeline made up a pts of its own."""
    slot: int
    height: int
    width: int
    pts: int
    time_base: Fraction
    is_loading_frame: bool = False
    taken_ns: int = 0
    """CLOCK_MONOTONIC when the worker took the input frame; 0 if unknown."""
    answered_ns: int = 0
    """CLOCK_MONOTONIC when the pipeline's answer was there."""
    demand: int = 0
    freed: frozenset[int] = frozenset()


class Returned(NamedTuple):
    """No picture: input slots freed, frames asked for, or a frame that the pipeline left unanswered."""

    session: int
    seq: int = 0
    """The pipeline leaves this frame unanswered; 0: says nothing about frames."""
    demand: int = 0
    freed: frozenset[int] = frozenset()


FrameMessage = FrameReady | OutputsFreed | Result | Returned


def encode(message: FrameMessage) -> bytes:
    """Pack one message.

    :returns: `MESSAGE_BYTES` bytes
    :raises WireError: a number does not fit, e.g. a time base beyond 32 bits
    """
    try:
        match message:
            case FrameReady():
                return _pack_picture(_FRAME_READY, message, 0, 0, message.sent_ns, 0)
            case Result():
                flags = _LOADING_FRAME if message.is_loading_frame else 0
                times = message.taken_ns, message.answered_ns
                return _pack_picture(_RESULT, message, message.demand, flags, *times)
            case Returned(session, seq, demand, freed):
                return _LAYOUT.pack(_RETURNED, demand, 0, _mask(freed), session, 0, 0, 0, 0, 0, seq, 0, 0, 0)
            case OutputsFreed(freed):
                return _LAYOUT.pack(_OUTPUTS_FREED, 0, 0, _mask(freed), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    except struct.error as error:
        raise WireError(f"{message} does not fit the frame message: {error}") from error


def decode(packet: bytes) -> FrameMessage:
    """Unpack one message.

    :raises WireError: wrong size, unknown kind, or numbers that cannot be
    """
    if len(packet) != MESSAGE_BYTES:
        raise WireError(f"a frame message has {MESSAGE_BYTES} bytes, this one {len(packet)}")
    kind, demand, slot, mask, session, height, width, num, den, flags, seq, pts, first_ns, answered_ns = (
        _LAYOUT.unpack(packet)
    )
    freed = _slots(mask)
    if kind == _RETURNED:
        return Returned(session, seq, demand, freed)
    if kind == _OUTPUTS_FREED:
        return OutputsFreed(freed)
    if kind not in (_FRAME_READY, _RESULT):
        raise WireError(f"unknown frame message {kind}")
    if not (0 < height <= MAX_SIDE_PIXELS and 0 < width <= MAX_SIDE_PIXELS and num and den):
        raise WireError(f"a frame of {width}x{height} with time base {num}/{den} cannot be")
    picture = (session, seq, slot, height, width, pts, _time_base(num, den))
    if kind == _FRAME_READY:
        return FrameReady(*picture, first_ns, freed)
    return Result(*picture, bool(flags & _LOADING_FRAME), first_ns, answered_ns, demand, freed)


def check_picture(height: int, width: int, pts: int, time_base: Fraction) -> None:
    """Refuse what `encode` could not carry, before a slot is spent on it.

    :raises WireError: the offending number
    """
    if not (0 < height <= MAX_SIDE_PIXELS and 0 < width <= MAX_SIDE_PIXELS):
        raise WireError(f"a frame of {width}x{height} is outside 1 to {MAX_SIDE_PIXELS} pixels a side")
    if not -(2**63) <= pts < 2**63:
        raise WireError(f"pts {pts} does not fit 64 bits")
    if not (0 < time_base.numerator <= _MAX_U32 and time_base.denominator <= _MAX_U32):
        raise WireError(f"time base {time_base} is not a positive fraction of 32-bit numbers")


def _pack_picture(
    kind: int, picture: FrameReady | Result, demand: int, flags: int, first_ns: int, answered_ns: int
) -> bytes:
    return _LAYOUT.pack(
        kind,
        demand,
        picture.slot,
        _mask(picture.freed),
        picture.session,
        picture.height,
        picture.width,
        picture.time_base.numerator,
        picture.time_base.denominator,
        flags,
        picture.seq,
        picture.pts,
        first_ns,
        answered_ns,
    )


# The same time base comes with every frame of a stream, and building a `Fraction` costs 2 µs.
_time_base = functools.lru_cache(maxsize=16)(Fraction)


def _mask(slots: Iterable[int]) -> int:
    mask = 0
    for slot in slots:
        mask |= 1 << slot
    return mask


def _slots(mask: int) -> frozenset[int]:
    return frozenset(slot for slot in range(mask.bit_length()) if mask >> slot & 1)
