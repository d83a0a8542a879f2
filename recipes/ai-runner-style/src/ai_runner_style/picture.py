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

_STILL_LEVELS = 4.0
"""A mean change of fewer levels than this is taken for noise more than for motion."""
_STILL_WEIGHT = 0.2
"""How much of a still pixel is renewed with each frame."""
_MEAN = np.full((1, 3), 1 / 3, np.float32)
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
        """Add a frame and get it back without its noise. Another size starts afresh.

        :param plane: (H, W, 3) in 0..255
        """
        now, before = plane, self._before
        if before is not None and before.shape == now.shape:
            change = cv2.transform(cv2.absdiff(now, before), _MEAN / _STILL_LEVELS)
            weight = np.clip(change, _STILL_WEIGHT, 1.0, out=change)
            now = settled(cv2.blendLinear(now, before, weight, 1 - weight))
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
    """Resize by averaging; to more than half the size, where two neighbours are enough, ten times as fast."""
    is_little = 2 * size[0] > picture.shape[1] and 2 * size[1] > picture.shape[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR if is_little else cv2.INTER_AREA)


def enlarge(picture: Picture | Plane, size: Size) -> Picture | Plane:
    """Resize smoothly."""
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def box(plane: Plane, window_px: int) -> Plane:
    """Mean over a square window."""
    return cv2.blur(plane, (window_px, window_px))
