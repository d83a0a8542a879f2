"""The input's timeline: 33-bit time stamps unrolled, jumps told apart from steps."""

from __future__ import annotations

from ai_runner_base.media._types import TICKS_PER_S

WRAP = 1 << 33
BACKWARD_JUMP_TICKS = 2 * TICKS_PER_S
"""A picture further back than this begins a new timeline; one less far back is out of order and dropped."""
NEAR_WRAP_TICKS = 60 * TICKS_PER_S
"""A first time stamp so close below the wrap is taken for a negative one, as FFmpeg does."""
FORWARD_JUMP_TICKS = 10 * TICKS_PER_S
"""A picture further ahead than this begins a new timeline."""


class Unroller:
    """Turns 33-bit time stamps of one program's tracks into one that does not wrap (every 26.5 hours)."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unroll(self, timestamp: int) -> int:
        """The time stamp nearest to the last one that is equal to this one modulo 2**33."""
        if self._last is None:
            # Just below the wrap is what is left of a start at 0 with reordered frames or encoder delay.
            self._last = timestamp - WRAP if timestamp > WRAP - NEAR_WRAP_TICKS else timestamp
        else:
            self._last += (timestamp - self._last + WRAP // 2) % WRAP - WRAP // 2
        return self._last


def is_jump(step_ticks: int) -> bool:
    """Whether the distance to the previous picture (1/90000 s) means a new timeline."""
    return step_ticks < -BACKWARD_JUMP_TICKS or step_ticks > FORWARD_JUMP_TICKS
