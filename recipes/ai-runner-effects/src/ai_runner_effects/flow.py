"""Flow: what moves paints in light. The direction of motion is the colour, its speed the brightness.

Optical flow is estimated on a small picture (DIS: Kroeger and others, "Fast optical flow using dense inverse
search", 2016). The light is carried along by that same flow and fades, so that a gesture leaves swirling
trails.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    settled,
    shrink,
    size_of,
    three,
    to_picture,
    tone_map,
    work_size,
)
from .params import EffectsParams

_WORK_PX = 320
_LEAST_PX = 32
"""DIS needs some pixels for its coarsest scale."""
_STILL_PX = 0.3
"""Motion per frame below this is an error of the estimate."""
_NOISE_LEVELS = 2.0
"""A pixel whose brightness changes by less than about this is not moving, whatever its surroundings do."""
_CARRY = 1.25
"""Light runs a little ahead of what carries it: trails swirl instead of merely lagging."""
_DUSK = (0.72, 0.85, 1.2)
_DETAIL = np.clip(120 + 0.75 * np.arange(256), 0, 255).astype(np.uint8)
"""The light lets the picture's own brightness show."""


@dataclass
class _Memory:
    """What is kept between two frames, at work size.

    :param grey: the frame before
    :param flow: (H, W, 2) motion in px per frame, smoothed over time
    :param trail: (H, W, 3) light, 0..255
    :param places: (H, W, 2) coordinates of each pixel
    """

    grey: Picture
    flow: Plane
    trail: Plane
    places: Plane


class Flow:
    """The effect and its memory of earlier frames; for pictures of one size."""

    def __init__(self) -> None:
        self._estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._steady = Steady()
        self._memory: _Memory | None = None

    def __call__(self, picture: Picture, params: EffectsParams, elapsed_s: float) -> Picture:
        """Draw the next frame.

        :param picture: (H, W, 3)
        :param elapsed_s: time since the frame before
        """
        grey = grey_of(picture)
        small = blur(shrink(grey, work_size(grey, _WORK_PX, _LEAST_PX)), 1.0)
        small = to_picture(self._steady(small))
        if self._memory is None:
            self._memory = _remember(small)
        moved = self._follow(self._memory, small)
        self._paint(self._memory, moved, params, elapsed_s)
        light = cv2.resize(_exposed(self._memory.trail), size_of(grey), interpolation=cv2.INTER_CUBIC)
        light = cv2.multiply(light, three(cv2.LUT(grey, _DETAIL)), scale=1 / 255)
        dusk = cv2.applyColorMap(grey, tone_map(params.flow_background * LEVELS**1.3, _DUSK))
        return cv2.add(dusk, light)

    def _follow(self, memory: _Memory, small: Picture) -> Plane:
        """Update the flow; returns how much of an edge in motion each pixel is, 0..1."""
        flow = self._estimator.calc(memory.grey, small, None)
        memory.flow = settled(cv2.addWeighted(memory.flow, 0.4, blur(flow, 2.0), 0.6, 0.0))
        change = blur(cv2.absdiff(small, memory.grey), 2.0).astype(np.float32)
        memory.grey = small
        steep = gradient(small.astype(np.float32))
        edge = np.minimum(1.7 * steep / (steep + 6.0) + 0.1, 1.0)
        return edge * change * change / (change * change + _NOISE_LEVELS**2)

    def _paint(self, memory: _Memory, moved: Plane, params: EffectsParams, elapsed_s: float) -> None:
        speed, angle_deg = cv2.cartToPolar(*cv2.split(memory.flow), angleInDegrees=True)
        speed = np.maximum(speed - _STILL_PX, 0)
        speed = speed / (speed + 1.6 * (1 - params.flow_sensitivity) + 0.15)
        colour = _colour(angle_deg + params.flow_hue, speed)
        kept = 0.5 ** (elapsed_s / params.flow_trail) if params.flow_trail else 0.0
        carried = cv2.remap(memory.trail, memory.places - _CARRY * memory.flow, None, cv2.INTER_LINEAR)
        memory.trail = _mixed(settled(carried * kept), colour, speed * moved)


def _remember(small: Picture) -> _Memory:
    height, width = small.shape
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = np.dstack([across, down])
    return _Memory(small, np.zeros_like(places), np.zeros((height, width, 3), np.float32), places)


def _colour(hue_deg: Plane, speed: Plane) -> Plane:
    """Full brightness; fast motion is paler."""
    return hue_colours(hue_deg, to_picture(250 - 60 * speed * speed)).astype(np.float32)


def _mixed(trail: Plane, colour: Plane, amount: Plane) -> Plane:
    """New light on old: the stronger one decides brightness and, mostly, colour; a sum would turn white."""
    old, new = _brightness(trail), 255 * amount
    share = new / (new + old + 1e-3)
    mix = cv2.add(cv2.multiply(trail, three(1 - share)), cv2.multiply(colour, three(amount * share)))
    return cv2.multiply(mix, three(cv2.max(old, new) / (_brightness(mix) + 1e-3)))


def _brightness(light: Plane) -> Plane:
    red, green, blue = cv2.split(light)
    return cv2.max(cv2.max(red, green), blue)


def _exposed(trail: Plane) -> Picture:
    """Trails and their glow as a picture, with highlights rolled off as film does."""
    glow = enlarge(blur(shrink(trail, part_size(trail, 4)), 3.2), size_of(trail))
    light = cv2.addWeighted(trail, 2.2, glow, 0.9, 0.0)
    return to_picture(255 - 255 * cv2.exp(light * (-1 / 170)))
