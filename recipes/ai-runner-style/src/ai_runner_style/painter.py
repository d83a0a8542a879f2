"""From a picture to a painting of the same size; also for pipelines that paint only a part of theirs.

The network works at a lower resolution. Enlarging its painting would be blurred, so the fine detail that was lost
on the way down is drawn over it: as much, and in the direction, as the painting follows the picture's light in
that place (the slope of a guided filter, He and Sun 2015). Where a style turns dark into bright, detail is turned,
too.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from .network import LEAST_SIDE_PX, SIDE_MULTIPLE_PX, network
from .params import STYLES, PaintParams
from .picture import (
    Picture,
    Plane,
    Steady,
    box,
    enlarge,
    fitted_size,
    grey_of,
    settled,
    shrink,
    size_of,
    thread_count,
)

_WINDOW_PX = 5
_EDGE_VARIANCE = 30.0
"""Variance of grey levels above which light is taken for drawn on purpose."""
_STEEPEST = 1.5
"""Bound of the slope, so that a painting of hard contrast does not drown in detail."""
_FADES_PER_TIME = 4.0
"""A fade is exponential; after its time this many natural units of it are over."""
_UNSEEN = 2e-3

_MOTION_WINDOW_PX = 9
"""The network looks about this far: motion next to a pixel may change its strokes."""
_NOISE_LEVELS, _MOTION_LEVELS = 1.5, 5.0
"""Mean change of light in a window that is no motion yet, and that counts as full motion."""


class Painter:
    """Paints the frames of one stream."""

    def __init__(self) -> None:
        self._network = network(thread_count())
        self._steady = Steady()
        self._still = StillStrokes()
        self._palette = Palette()

    def __call__(self, picture: Picture, params: PaintParams, elapsed_s: float) -> Picture:
        """Paint the next frame.

        :param picture: (H, W, 3) uint8 RGB of any size
        :param elapsed_s: time since the frame before
        :return: a new picture of the same size, or the very same one at strength 0
        """
        weights = self._palette(params, elapsed_s)
        if params.strength == 0:
            return picture
        size = fitted_size(size_of(picture), params.resolution, SIDE_MULTIPLE_PX, LEAST_SIDE_PX)
        small = self._steady(shrink(picture, size).astype(np.float32))
        light = grey_of(small)
        calm = 0.0 if self._palette.is_fading else params.calm
        painting = self._still(self._network(small, weights), light, calm)
        painting = _enlarged(painting, light, picture, params.detail)
        if params.keep_colours > 0:
            painting = _recoloured(painting, picture, params.keep_colours)
        return cv2.addWeighted(painting, params.strength, picture, 1 - params.strength, 0)


class StillStrokes:
    """Holds strokes still where the picture stands still.

    A network that paints frame by frame moves all its strokes a little when anything moves anywhere, since it
    normalises over the whole picture.
    """

    def __init__(self) -> None:
        self._light: Plane | None = None
        self._painting: Plane | None = None

    def __call__(self, painting: Picture, light: Plane, calm: float) -> Picture:
        """Add a painting and get it back, with what is left of those before.

        :param light: luma of what was painted
        :param calm: 0 takes every painting as it is, 1 renews still places very slowly
        """
        before, light_before = self._painting, self._light
        now = painting.astype(np.float32)
        self._painting, self._light = now, light
        if calm == 0 or before is None or light_before is None or before.shape != now.shape:
            return painting
        motion = box(cv2.absdiff(light, light_before), _MOTION_WINDOW_PX) - np.float32(_NOISE_LEVELS)
        motion *= np.float32(1 / (_MOTION_LEVELS - _NOISE_LEVELS))
        weight = np.clip(motion, 1 - 0.95 * calm, 1.0, out=motion)
        self._painting = settled(cv2.blendLinear(now, before, weight, 1 - weight))
        return cv2.convertScaleAbs(self._painting)


class Palette:
    """The mixture of styles: what is asked for, on the way from what was."""

    is_fading = False
    """The mixture differs from that of the frame before."""

    def __init__(self) -> None:
        self._weights: NDArray[np.float32] | None = None
        self._touring_s = 0.0

    def __call__(self, params: PaintParams, elapsed_s: float) -> NDArray[np.float32]:
        """Give the weights for the next frame: (26,), sum 1."""
        self._touring_s = self._touring_s + elapsed_s if params.tour else 0.0
        target = mixture(params, int(self._touring_s / params.tour) if params.tour else 0)
        if self._weights is None:
            self._weights = target
        rest = math.exp(-_FADES_PER_TIME * elapsed_s / params.fade) if params.fade else 0.0
        weights = target + (self._weights - target) * np.float32(rest)
        weights = target if np.abs(weights - target).max() < _UNSEEN else weights
        self.is_fading = not np.array_equal(weights, self._weights)
        self._weights = weights
        return weights


def mixture(params: PaintParams, steps: int = 0) -> NDArray[np.float32]:
    """Weights of the styles: the chosen one counts 1, each slider what it says; the sum is 1.

    :param steps: how many styles further a tour is
    """
    weights = np.array([getattr(params, f"mix_{name}", 0.0) for name in STYLES], np.float32)
    weights[(STYLES.index(params.style) + steps) % len(STYLES)] += 1
    return weights / weights.sum()


def _enlarged(painting: Picture, light: Plane, picture: Picture, detail: float) -> Picture:
    """A small painting at full size, with detail.

    :param light: luma of what was painted, as small
    """
    size = size_of(picture)
    large = cv2.resize(painting, size, interpolation=cv2.INTER_CUBIC)
    if detail == 0 or size == size_of(painting):
        return large
    slope = _slope(light, grey_of(painting).astype(np.float32)) * np.float32(detail)
    lost = cv2.subtract(grey_of(picture), enlarge(light, size), dtype=cv2.CV_32F)
    drawn = cv2.multiply(lost, enlarge(slope, size))
    return cv2.add(large, cv2.merge([drawn, drawn, drawn]), dtype=cv2.CV_8U)


def _slope(light: Plane, painted: Plane) -> Plane:
    """How many levels the painting changes where the picture changes by one."""
    mean = box(light, _WINDOW_PX)
    variance = box(light * light, _WINDOW_PX) - mean * mean
    together = box(light * painted, _WINDOW_PX) - mean * box(painted, _WINDOW_PX)
    slope = box(together / (variance + _EDGE_VARIANCE), _WINDOW_PX)
    return np.clip(slope, -_STEEPEST, _STEEPEST, out=slope)


def _recoloured(painting: Picture, picture: Picture, amount: float) -> Picture:
    """The painting's light with the picture's colours."""
    painted = cv2.cvtColor(painting, cv2.COLOR_RGB2YCrCb)
    colours = cv2.addWeighted(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb), amount, painted, 1 - amount, 0)
    cv2.mixChannels([painted], [colours], [0, 0])
    return cv2.cvtColor(colours, cv2.COLOR_YCrCb2RGB)
