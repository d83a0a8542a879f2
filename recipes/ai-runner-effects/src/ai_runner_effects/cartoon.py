"""Cartoon: flat, rich colours in soft steps, and ink along dark edges.

After Winnemöller, Olsen and Gooch, "Real-time video abstraction" (2006): bilateral smoothing, soft
quantisation of the lightness, difference of Gaussians for the ink. Their smoothing is done at half size and
brought back along the full picture's edges by a fast guided filter (He and Sun, 2015), which is what makes it
fit one core.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ._picture import (
    LEVELS,
    Picture,
    Plane,
    Steady,
    blur,
    enlarge,
    grey_of,
    part_size,
    shrink,
    size_of,
    three,
    to_picture,
)
from .params import EffectsParams

_EDGE_VARIANCE = 40.0
"""Variance of grey levels above which the guided filter takes something for an edge."""
_WINDOW_PX = 5
_STEEPNESS = 4.2
"""How hard the steps between two levels of lightness are."""
_INK_LEVELS = 0.6
"""A pixel this much darker than its surroundings starts to take ink."""


class Cartoon:
    """The effect and its memory of earlier frames; for pictures of one size."""

    def __init__(self) -> None:
        self._steady = Steady()

    def __call__(self, picture: Picture, params: EffectsParams, elapsed_s: float) -> Picture:
        """Draw the next frame.

        :param picture: (H, W, 3)
        :param elapsed_s: not needed here
        """
        guide = self._steady(grey_of(picture))
        small = _smoothed(picture, params.cartoon_smoothness)
        luma, red, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))
        flat = _along_edges(luma, guide)
        paint = cv2.merge([flat, enlarge(red, size_of(flat)), enlarge(blue, size_of(flat))])
        paint = cv2.LUT(paint, _paint_box(params.cartoon_levels, params.cartoon_color))
        ink = _ink(flat, params.cartoon_ink)
        return cv2.multiply(cv2.cvtColor(paint, cv2.COLOR_YCrCb2RGB), three(ink), scale=1 / 255)


def _smoothed(picture: Picture, smoothness: float) -> Picture:
    small = shrink(picture, part_size(picture, 2))
    for _ in range(2):
        small = cv2.bilateralFilter(small, 5, 20 + 60 * smoothness, 4 + 4 * smoothness)
    return small


def _along_edges(small: Picture, guide: Plane) -> Picture:
    """A small grey picture at full size, with its edges where the guide's are.

    In every window it is taken for a linear function of the guide; the factors are smooth, so they are found
    at half size and enlarged. Colour needs no such care: the eye takes its edges from the lightness.
    """
    source, guide_small = small.astype(np.float32), shrink(guide, size_of(small))
    mean, source_mean = _box(guide_small), _box(source)
    variance = _box(guide_small * guide_small) - mean * mean
    slope = cv2.divide(_box(guide_small * source) - mean * source_mean, variance + _EDGE_VARIANCE)
    offset = source_mean - slope * mean
    size = size_of(guide)
    return to_picture(enlarge(_box(slope), size) * guide + enlarge(_box(offset), size))


def _box(plane: Plane) -> Plane:
    return cv2.boxFilter(plane, -1, (_WINDOW_PX, _WINDOW_PX))


@lru_cache(maxsize=8)
def _paint_box(levels: int, saturation: float) -> Picture:
    """What becomes of each value of lightness and of the two colour differences: (1, 256, 3)."""
    steps = LEVELS * levels
    middle = np.minimum(np.floor(steps), levels - 1) + 0.5
    soft = middle + 0.5 * np.tanh((steps - middle) * _STEEPNESS) / np.tanh(0.5 * _STEEPNESS)
    lightness = 255 * (soft / levels) ** 0.9
    chroma = 128 + (np.arange(256) - 128) * saturation
    return np.clip(np.dstack([lightness, chroma, chroma]), 0, 255).astype(np.uint8)


def _ink(grey: Picture, strength: float) -> Picture:
    """255 where there is no ink."""
    plane = grey.astype(np.float32)
    difference = cv2.addWeighted(
        blur(plane, 1.0), 16.0, blur(plane, 2.0), -16.0 * 0.985, 128.0, dtype=cv2.CV_8U
    )
    return cv2.LUT(difference, _ink_curve(strength))


@lru_cache(maxsize=8)
def _ink_curve(strength: float) -> Picture:
    """Light left by the ink, for a difference of Gaussians stored as 128 + 16 per grey level."""
    difference = (np.arange(256) - 128) / 16 + _INK_LEVELS
    dark = np.tanh(np.minimum(difference, 0) * 0.6 * strength)
    return np.clip(255 * (1 + dark * min(1.0, 1.15 * strength)), 0, 255).astype(np.uint8)
