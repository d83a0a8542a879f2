"""Which pictures hardly differ from the one painted last, so that they need not be painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SAMPLES_PER_SIDE = 96
"""Pixels that are looked at along a side: enough to see a hand move, and quick."""


class StillFilter:
    """Compares each picture with the last one that was painted."""

    def __init__(self) -> None:
        self._painted: NDArray[np.float32] | None = None
        self._alike = 0
        self._skipped = 0

    def may_skip(self, picture: NDArray[np.uint8], threshold: float, most: int, settle: int) -> bool:
        """Say whether a picture may be left out; one that may not counts as painted.

        :param picture: (H, W, 3) uint8
        :param threshold: cosine from which two pictures count as the same
        :param most: how many in a row may be left out
        :param settle: how many alike must have been painted first: a change must have gone through all steps
        """
        sample = _sample(picture)
        before = self._painted
        alike = before is not None and before.shape == sample.shape and _cosine(before, sample) >= threshold
        if not alike:
            self._alike = 0
        elif self._alike >= settle and self._skipped < most:
            self._skipped += 1
            return True
        else:
            self._alike += 1
        self._painted, self._skipped = sample, 0
        return False


def _sample(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    down, right = (max(1, side // _SAMPLES_PER_SIDE) for side in picture.shape[:2])
    return picture[::down, ::right].astype(np.float32)


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine of the angle between two pictures; two black ones are the same."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.vdot(one, other)) / lengths if lengths else float(not one.any() and not other.any())
