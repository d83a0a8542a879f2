"""Messages of the frame socket (SOCK_SEQPACKET): fixed size, one packet each.

Runner → worker: `FrameReady`, `OutputsFreed`. Worker → runner: `Result`, `Returned`. Every message may carry
the slots that its sender has finished with (`freed`: input slots from the worker, output slots from the
runner), and those of the worker how many frames it asks for (`demand`): one message each way per frame.
"""

from __future__ import annotations

import functools
import struct
from fractions import Fraction
from typing import NamedTuple

from ._errors import WireError

MESSAGE_BYTES = 64
MAX_SIDE_PIXELS = 32768

# kind, demand, slot, freed mask, session, height, width, time base (2), flags, seq, pts, two clock readings
_LAYOUT = struct.Struct("<BBHIIIIIIIQqQQ")
_FREED, _FREED_OFFSET = struct.Struct("<I"), 4
_TIME = struct.Struct("<IIq")
_FRAME_READY, _OUTPUTS_FREED, _RESULT, _RETURNED = 1, 2, 3, 4
_LOADING_FRAME = 1

Slots = frozenset[int]
NO_SLOTS: Slots = frozenset()


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
    freed: Slots = NO_SLOTS

    def numbers(self) -> tuple[int, ...]:
        """The fields of the packed message."""
        session, seq, slot, height, width, pts, time_base, sent_ns, freed = self
        base = time_base.as_integer_ratio()
        return _FRAME_READY, 0, slot, _mask(freed), session, height, width, *base, 0, seq, pts, sent_ns, 0


class OutputsFreed(NamedTuple):
    """Output slots that the worker may write again."""

    freed: Slots

    def numbers(self) -> tuple[int, ...]:
        """The fields of the packed message."""
        return _OUTPUTS_FREED, 0, 0, _mask(self.freed), *(0,) * 10


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
    freed: Slots = NO_SLOTS

    def numbers(self) -> tuple[int, ...]:
        """The fields of the packed message."""
        (
            session,
            seq,
            slot,
            height,
            width,
            pts,
            time_base,
            is_loading,
            taken_ns,
            answered_ns,
            demand,
            freed,
        ) = self
        flags = _LOADING_FRAME if is_loading else 0
        base, times = time_base.as_integer_ratio(), (taken_ns, answered_ns)
        return _RESULT, demand, slot, _mask(freed), session, height, width, *base, flags, seq, pts, *times


class Returned(NamedTuple):
    """No picture: input slots freed, frames asked for, or a frame that the pipeline left unanswered."""

    session: int
    seq: int = 0
    """The pipeline leaves this frame unanswered; 0: says nothing about frames."""
    demand: int = 0
    freed: Slots = NO_SLOTS

    def numbers(self) -> tuple[int, ...]:
        """The fields of the packed message."""
        session, seq, demand, freed = self
        return _RETURNED, demand, 0, _mask(freed), session, 0, 0, 0, 0, 0, seq, 0, 0, 0


FrameMessage = FrameReady | OutputsFreed | Result | Returned


def encode(message: FrameMessage) -> bytearray:
    """Pack one message.

    :returns: `MESSAGE_BYTES` bytes, which `set_freed` may change until they are sent
    :raises WireError: a number does not fit, e.g. a time base beyond 32 bits
    """
    packet = bytearray(MESSAGE_BYTES)
    try:
        _LAYOUT.pack_into(packet, 0, *message.numbers())
    except struct.error as error:
        raise WireError(f"{message} does not fit the frame message: {error}") from error
    return packet


def check_picture(height: int, width: int, pts: int, time_base: Fraction) -> None:
    """Refuse what a message could not carry, before a slot is spent on it.

    :raises WireError: the offending number
    """
    if height > MAX_SIDE_PIXELS or width > MAX_SIDE_PIXELS:
        raise WireError(f"{width}x{height} is more than {MAX_SIDE_PIXELS} pixels a side")
    try:
        _TIME.pack(*time_base.as_integer_ratio(), pts)
    except (struct.error, AttributeError, TypeError) as error:
        raise WireError(f"pts {pts!r} with time base {time_base!r} is not a time in 64 bits") from error
    if time_base <= 0:
        raise WireError(f"time base {time_base} is not positive")


def set_freed(packet: bytearray, freed: Slots) -> None:
    """Have a packed message carry these slots too."""
    _FREED.pack_into(packet, _FREED_OFFSET, _mask(freed))


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
    time_base = _time_base(num, den)
    if kind == _FRAME_READY:
        return FrameReady(session, seq, slot, height, width, pts, time_base, first_ns, freed)
    is_loading_frame = bool(flags & _LOADING_FRAME)
    picture = (session, seq, slot, height, width, pts, time_base)
    return Result(*picture, is_loading_frame, first_ns, answered_ns, demand, freed)


# The same few time bases and sets of slots come with every frame.
_time_base = functools.lru_cache(maxsize=16)(Fraction)


@functools.lru_cache(maxsize=1024)
def _mask(slots: Slots) -> int:
    return sum(1 << slot for slot in slots)


@functools.lru_cache(maxsize=1024)
def _slots(mask: int) -> Slots:
    return frozenset(slot for slot in range(mask.bit_length()) if mask >> slot & 1)
