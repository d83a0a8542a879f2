"""Neon: edges as glowing tubes of light over a dark picture.

Lines are ridges of the gradient (its excess over its own surroundings), divided by the local contrast, so
that they are thin, smooth at their rims, and as bright in the shade as in the sun. A hard edge detector would
flicker from frame to frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from ._picture import (
    LEVELS,
    Picture,
    Plane,
    Steady,
    blur,
    enlarge,
    gradient,
    grey_of,
    hue_colours,
    part_size,
    shrink,
    size_of,
    three,
    to_picture,
    tone_map,
)
from .params import EffectsParams

_NIGHT = (0.62, 0.5, 1.2)
"""Tint of the dark picture: moonlight."""
_CORE = tone_map(0.65 * LEVELS**2, (1, 1, 1))
"""The hot middle of a line turns white."""
_AFTERGLOW_S = 0.03
"""A line that goes out has half its light after this time; hides what is left of flicker."""
_SATURATION = 235


class Neon:
    """The effect and its memory of earlier frames; for pictures of one size."""

    def __init__(self) -> None:
        self._steady = Steady()
        self._lines: Picture | None = None
        self._turned_deg = 0.0

    def __call__(self, picture: Picture, params: EffectsParams, elapsed_s: float) -> Picture:
        """Draw the next frame.

        :param picture: (H, W, 3)
        :param elapsed_s: time since the frame before
        """
        grey = grey_of(picture)
        lines = self._glowing(_lines(self._steady(grey), params), elapsed_s)
        self._turned_deg = (self._turned_deg + params.neon_drift * elapsed_s) % 360
        colours = _colours(picture, params.neon_hue + self._turned_deg, params.neon_spread)
        tubes = cv2.multiply(colours, three(lines), scale=1 / 255)
        night = cv2.applyColorMap(grey, tone_map(params.neon_background * LEVELS**1.4, _NIGHT))
        lit = cv2.add(cv2.add(night, tubes), cv2.applyColorMap(lines, _CORE))
        return cv2.add(lit, _bloom(tubes, params.neon_glow)) if params.neon_glow else lit

    def _glowing(self, lines: Picture, elapsed_s: float) -> Picture:
        if self._lines is not None:
            fading = cv2.convertScaleAbs(self._lines, alpha=0.5 ** (elapsed_s / _AFTERGLOW_S))
            lines = cv2.max(lines, fading)
        self._lines = lines
        return lines


def _lines(grey: Plane, params: EffectsParams) -> Picture:
    """How much each pixel belongs to a line."""
    thickness = params.neon_thickness
    steep = gradient(blur(grey, 1.0 + 0.4 * thickness))
    around = blur(shrink(steep, part_size(steep, 8)), 3.0)
    around = enlarge(around, size_of(steep))
    wide = enlarge(blur(shrink(steep, part_size(steep, 2)), 0.66 + 0.55 * thickness), size_of(steep))
    ridge = cv2.addWeighted(steep, 1.5, wide, -1.0, 0.0)
    # The quadratic part lets busy texture (wood, hair) step back behind outlines.
    contrast = around * (0.55 + 0.045 * around) + (11.0 - 8.0 * params.neon_detail)
    return to_picture(cv2.divide(ridge, contrast) - 0.12, 255 * 1.25)


def _colours(picture: Picture, hue_deg: float, spread_deg: float) -> Picture:
    """A wash of colours from corner to corner; drawn small, since it has no detail."""
    width, height = part_size(picture, 8)
    diagonal = 0.43 * np.linspace(0, 1, width)[None, :] + 0.57 * np.linspace(0, 1, height)[:, None] - 0.5
    return enlarge(hue_colours(hue_deg + spread_deg * diagonal, _SATURATION), size_of(picture))


def _bloom(tubes: Picture, strength: float) -> Picture:
    """Light that the tubes throw around them: three blurs, each wider and drawn smaller than the last."""
    near = blur(shrink(tubes, part_size(tubes, 2)), 2.0)
    mid = blur(shrink(near, part_size(tubes, 8)), 3.0)
    far = blur(shrink(mid, part_size(tubes, 32)), 2.5)
    haze = cv2.addWeighted(mid, 1.3 * strength, enlarge(far, size_of(mid)), 1.3 * strength, 0.0)
    light = cv2.addWeighted(near, 0.9 * strength, enlarge(haze, size_of(near)), 1.0, 0.0)
    return enlarge(light, size_of(tubes))
