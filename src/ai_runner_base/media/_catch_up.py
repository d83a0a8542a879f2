"""A live reader that is behind its input leaves out what costs least, so that the delay never grows."""

from __future__ import annotations

import time

SHOWN_EVERY_NS = 100_000_000
"""While we are behind, one picture in this time is given, so that something moves."""
HOPELESS = 3
"""At so many times the lag that is let pass, decoding alone is too slow, and we skip to the newest bytes."""


class CatchUp:
    """Decides by how old the bytes are that are read.

    :param late_s: the lag that is let pass
    """

    def __init__(self, late_s: float) -> None:
        self._late_ns = round(late_s * 1e9)
        self._lag_ns = 0
        self._shown_ns = 0

    def reads(self, received_ns: int, *, more_waits: bool) -> None:
        """Bytes are taken that came at a time, and newer ones wait, or not."""
        self._lag_ns = time.monotonic_ns() - received_ns if more_waits else 0

    @property
    def is_hopeless(self) -> bool:
        """Whether to skip what waits."""
        return self._lag_ns > HOPELESS * self._late_ns

    def skips(self) -> bool:
        """Whether the picture that was just decoded is to be left out."""
        if self._lag_ns <= self._late_ns:
            return False
        now_ns = time.monotonic_ns()
        if now_ns - self._shown_ns < SHOWN_EVERY_NS:
            return True
        self._shown_ns = now_ns
        return False
