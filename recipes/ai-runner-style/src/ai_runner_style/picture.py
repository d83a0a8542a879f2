"""Small operations on pictures.

A `Picture` is (H, W, 3) uint8 RGB or (H, W) uint8 grey; a `Plane` is (H, W) or (H, W, 3) float32, mostly in
0..255.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
Size = tuple[int, int]
"""(width, height) in pixels, as OpenCV wants it."""

MOST_THREADS = 4
"""More gain little for pictures of this size, and decoding and encoding want some."""

_STILL_LEVELS = 5.0
"""A change of fewer levels than this is taken for noise more than for motion."""
_STILL_WEIGHT = 0.2
"""How much of a still pixel is renewed with each frame."""
_ROUNDING = np.float32(64)
"""Adding and subtracting it leaves steps of 2**-17."""


def thread_count() -> int:
    """Processors that this process may use, and no more than a few."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_THREADS)


class Steady:
    """Takes noise out of a picture over time: still pixels change slowly, moving ones at once."""

    def __init__(self) -> None:
        self._before: Plane | None = None

    def __call__(self, plane: Plane) -> Plane:
        """Add a frame, float32 in 0..255, and get it back without its noise. Another size starts afresh."""
        now, before = plane, self._before
        if before is not None and before.shape == now.shape:
            weight = cv2.multiply(cv2.absdiff(now, before), (1 / _STILL_LEVELS,) * 4)
            np.clip(weight, _STILL_WEIGHT, 1.0, out=weight)
            now = settled(cv2.add(before, cv2.multiply(cv2.subtract(now, before), weight)))
        self._before = now
        return now


def settled(plane: Plane) -> Plane:
    """Round off, in place, what is far too small to see: a processor is slow with denormal numbers."""
    plane += _ROUNDING
    plane -= _ROUNDING
    return plane


def grey_of(picture: Picture | Plane) -> Picture | Plane:
    """Luma of an RGB picture."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def size_of(picture: Picture | Plane) -> Size:
    """(width, height)."""
    return picture.shape[1], picture.shape[0]


def fitted_size(size: Size, long_side_px: int, multiple: int, least_px: int) -> Size:
    """A size of the same shape whose longer side is at most this; both sides multiples, and not under the
    least.
    """
    scale = min(1.0, long_side_px / max(size))
    width, height = (max(least_px, round(side * scale / multiple) * multiple) for side in size)
    return width, height


def shrink(picture: Picture | Plane, size: Size) -> Picture | Plane:
    """Resize by averaging."""
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def enlarge(picture: Picture | Plane, size: Size) -> Picture | Plane:
    """Resize smoothly."""
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def box(plane: Plane, window_px: int) -> Plane:
    """Mean over a square window."""
    return cv2.blur(plane, (window_px, window_px))
