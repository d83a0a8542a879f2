"""Small operations on pictures that the effects share.

A `Picture` is (H, W, 3) uint8 RGB or (H, W) uint8 grey; a `Plane` is (H, W) or (H, W, 3) float32, mostly in
0..255.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
Size = tuple[int, int]
"""(width, height) in pixels, as OpenCV wants it."""

_STILL_LEVELS = 4.0
"""A change of fewer grey levels than this is taken for noise more than for motion."""
_STILL_WEIGHT = 0.25
"""How much of a still pixel is renewed with each frame."""

_ROUNDING = np.float32(64)
"""Adding and subtracting it leaves steps of 2**-17."""


class Steady:
    """Takes noise out of a grey picture over time: still pixels change slowly, moving ones at once."""

    def __init__(self) -> None:
        self._before: Plane | None = None

    def __call__(self, grey: Picture) -> Plane:
        """Add a frame and get it back without its noise; float32 in 0..255."""
        now = grey.astype(np.float32)
        if self._before is not None:
            weight = cv2.absdiff(now, self._before)
            weight = cv2.min(cv2.max(cv2.multiply(weight, 1 / _STILL_LEVELS), _STILL_WEIGHT), 1.0)
            now = settled(cv2.add(self._before, cv2.multiply(cv2.subtract(now, self._before), weight)))
        self._before = now
        return now


def settled(plane: Plane) -> Plane:
    """Round off, in place, what is far too small to see.

    What fades for ever ends in denormal numbers, with which a processor is many times slower: an effect would
    lose its frame rate after half a minute in front of a wall.
    """
    plane += _ROUNDING
    plane -= _ROUNDING
    return plane


def grey_of(picture: Picture) -> Picture:
    """Luma of an RGB picture."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def size_of(picture: Picture | Plane) -> Size:
    """(width, height)."""
    return picture.shape[1], picture.shape[0]


def work_size(picture: Picture | Plane, long_side_px: int, least_px: int = 8) -> Size:
    """The picture's shape, made so small that its longer side is at most this; no side under the least
    one.
    """
    width, height = size_of(picture)
    scale = min(1.0, long_side_px / max(height, width))
    return max(least_px, round(width * scale)), max(least_px, round(height * scale))


def part_size(picture: Picture | Plane, divisor: int) -> Size:
    """The picture's size divided, at least one pixel."""
    width, height = size_of(picture)
    return max(1, width // divisor), max(1, height // divisor)


def shrink(picture: Picture | Plane, size: Size) -> Picture | Plane:
    """Resize by averaging."""
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def enlarge(picture: Picture | Plane, size: Size) -> Picture | Plane:
    """Resize smoothly."""
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def blur(picture: Picture | Plane, sigma_px: float) -> Picture | Plane:
    """Gaussian blur."""
    return cv2.GaussianBlur(picture, (0, 0), sigma_px)


def three(plane: Picture | Plane) -> Picture | Plane:
    """One channel as three equal ones."""
    return cv2.merge([plane, plane, plane])


def gradient(grey: Plane) -> Plane:
    """Steepness of a float32 plane, in grey levels per pixel."""
    across = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 16)
    down = cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 16)
    return cv2.magnitude(across, down)


def to_picture(plane: Plane, scale: float = 1.0) -> Picture:
    """Floats times a scale, clamped to 0..255 and rounded; negative ones become 0."""
    return cv2.multiply(plane, (scale,) * 4, dtype=cv2.CV_8U)


def hue_colours(hue_deg: NDArray[np.floating], saturation: int | Picture) -> Picture:
    """Bright colours by their angle on the colour wheel; any angle will do."""
    hue = (hue_deg * (256 / 360)).astype(np.int32).astype(np.uint8)
    full = np.full_like(hue, 255)
    grey = np.full_like(hue, saturation) if isinstance(saturation, int) else saturation
    return cv2.cvtColor(cv2.merge([hue, grey, full]), cv2.COLOR_HSV2RGB_FULL)


def tone_map(curve: NDArray[np.floating], tint: tuple[float, float, float]) -> Picture:
    """A colour for each grey level, for ``cv2.applyColorMap``.

    :param curve: 256 brightnesses in 0..1
    :param tint: factors for red, green and blue
    """
    colours = 255.0 * np.outer(curve, tint)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8).reshape(256, 1, 3)


LEVELS = np.arange(256, dtype=np.float32) / 255.0
"""All grey levels, from 0 to 1."""
