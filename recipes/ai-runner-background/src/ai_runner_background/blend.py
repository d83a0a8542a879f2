"""Two pictures along a mask, without the colours of one shining into the other."""

from __future__ import annotations

import cv2
import numpy as np

from ai_runner_style.picture import Picture, Plane, Size, enlarge, shrink, size_of

_PART = 4
"""Blurred colours are made of a picture a quarter as large."""
_CLEAN_SIGMA_PX = 2.0
_LARGEST_BLUR = 0.022
"""Standard deviation of the strongest blur, as a share of the picture's diagonal."""
_NOTHING = 1e-3


def blend(changed: Picture, picture: Picture, where: Plane) -> Picture:
    """The changed picture where the mask says so, the old one elsewhere.

    At the edge a pixel has colours of both sides in it. The side that is kept is given the colours that it has a
    little further inside, or else a rim of the old room would stay around a person.

    :param where: (H, W) float32 in 0..1
    """
    kept = 1 - where
    colours = _mean_colours(picture, kept, _CLEAN_SIGMA_PX)
    clean = cv2.blendLinear(picture, colours, kept, where)
    return cv2.blendLinear(changed, clean, where, kept)


def blurred(picture: Picture, where: Plane | None, amount: float) -> Picture:
    """Out of focus, with bright places shining as they do through a lens.

    :param where: what is blurred; nothing of the rest shines into it
    :param amount: 0..1
    """
    sigma_px = max(0.3, amount * _LARGEST_BLUR * float(np.hypot(*size_of(picture))) / _PART)
    return _mean_colours(picture, where, sigma_px, brightness=2.0)


def _mean_colours(picture: Picture, where: Plane | None, sigma_px: float, brightness: float = 1.0) -> Picture:
    """Local mean of what a mask lets through; anything where it lets nothing through.

    :param sigma_px: in the small picture
    :param brightness: 2 means squares, so that bright pixels weigh more
    """
    size = _part(size_of(picture))
    small = shrink(picture, size).astype(np.float32)
    small = small if brightness == 1 else small * small
    if where is None:
        mean = cv2.GaussianBlur(small, (0, 0), sigma_px)
    else:
        weight = shrink(where, size)
        weight_3 = cv2.merge([weight, weight, weight])
        sums = cv2.GaussianBlur(cv2.multiply(small, weight_3), (0, 0), sigma_px)
        mean = cv2.divide(sums, cv2.GaussianBlur(weight_3, (0, 0), sigma_px) + np.float32(_NOTHING))
    mean = mean if brightness == 1 else cv2.sqrt(mean)
    return enlarge(cv2.convertScaleAbs(mean), size_of(picture))


def _part(size: Size) -> Size:
    width, height = size
    return max(1, width // _PART), max(1, height // _PART)
