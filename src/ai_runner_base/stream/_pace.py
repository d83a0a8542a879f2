"""A cap on the frame rate by the frames' own times."""

from __future__ import annotations

from fractions import Fraction

_JITTER = Fraction(1, 4)
"""A frame may come this part of a period early; real cameras do."""


class Pace:
    """Admits at most `max_fps` frames a second of stream time, as evenly as the input allows."""

    def __init__(self, max_fps: float) -> None:
        self._period = 1 / Fraction(max_fps).limit_denominator(1000)
        self._due: Fraction | None = None

    def admit(self, time: Fraction) -> bool:
        """Say whether the frame at `time` (seconds of stream time) may pass.

        A jump of the timeline, in either direction, starts anew.
        """
        if self._due is None or abs(time - self._due) > 10 * self._period:
            self._due = time + self._period
            return True
        if time < self._due - _JITTER * self._period:
            return False
        self._due += self._period
        if self._due < time:
            self._due = time + self._period
        return True
