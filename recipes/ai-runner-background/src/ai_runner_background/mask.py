"""Which pixels are person: a small network, steadied over time, with its edge put where the picture's is."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np

from ai_runner_style.picture import Picture, Plane, Size, box, enlarge, grey_of, settled, shrink, size_of

WEIGHTS = Path(__file__).with_name("weights")

_MODELS: dict[str, Size] = {
    "selfie_segmentation_landscape.tflite": (256, 144),
    "selfie_segmentation.tflite": (256, 256),
}
_LANDSCAPE_FROM = 1.2
"""Width by height above which a picture fits the wide model better; that one also takes half the time."""

_MOTION_WINDOW_PX = 9
_NOISE_LEVELS, _MOTION_LEVELS = 1.5, 5.0
"""Mean change of light in a window that is no motion yet, and that counts as full motion."""
_EDGE_WINDOW_PX = 7
_EDGE_VARIANCE = 100.0
"""Variance of grey levels above which the guided filter takes something for an edge."""
_SHIFT_RANGE = 0.4
_HARDEST, _SOFTEST = 0.06, 0.6
"""Half width of the edge, in likeness to a person."""


class PersonMask:
    """Tells person from room in the frames of one stream."""

    def __init__(self) -> None:
        self._before: tuple[Plane, Plane] | None = None

    def __call__(self, picture: Picture, softness: float, shift: float, steadiness: float) -> Plane:
        """Look at the next frame.

        :param picture: (H, W, 3) uint8 RGB
        :param softness: of the edge, 0..1
        :param shift: of the edge, outwards (1) or inwards (-1)
        :param steadiness: 0 takes every mask as it is, 1 renews still places very slowly
        :return: (H, W) float32, 1 where the person is, 0 in the room
        """
        width, height = size_of(picture)
        name = list(_MODELS)[width < _LANDSCAPE_FROM * height]
        small = shrink(picture, _MODELS[name])
        light = grey_of(small).astype(np.float32)
        likeness = self._steadied(_likeness(name, small), light, steadiness)
        likeness = _along_edges(likeness, light, grey_of(picture))
        return _edge(likeness, softness, shift)

    def _steadied(self, likeness: Plane, light: Plane, steadiness: float) -> Plane:
        """A mask changes where the picture does; elsewhere it takes in the new one slowly."""
        if self._before is not None and self._before[0].shape == likeness.shape:
            mask, light_before = self._before
            motion = box(cv2.absdiff(light, light_before), _MOTION_WINDOW_PX) - np.float32(_NOISE_LEVELS)
            motion *= np.float32(1 / (_MOTION_LEVELS - _NOISE_LEVELS))
            weight = np.clip(motion, 1 - 0.9 * steadiness, 1.0, out=motion)
            likeness = settled(mask + (likeness - mask) * weight)
        self._before = likeness, light
        return likeness


def _likeness(name: str, small: Picture) -> Plane:
    """How much each pixel looks like a part of a person: (h, w) float32 in 0..1."""
    model = _model(name)
    model.setInput(cv2.dnn.blobFromImage(small, 1 / 255))
    return model.forward().reshape(small.shape[:2]).copy()


@cache
def _model(name: str) -> cv2.dnn.Net:
    path = WEIGHTS / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; in a clone, tools/fetch_weights.py puts it there")
    return cv2.dnn.readNetFromTFLite(str(path))


def _along_edges(likeness: Plane, light: Plane, guide: Picture) -> Plane:
    """A small mask at full size, with its edge where the picture's is: a fast guided filter (He and Sun 2015).

    :param light: what the mask was made of, as small
    :param guide: luma of the picture
    """
    mean, mean_likeness = box(light, _EDGE_WINDOW_PX), box(likeness, _EDGE_WINDOW_PX)
    variance = box(light * light, _EDGE_WINDOW_PX) - mean * mean
    together = box(light * likeness, _EDGE_WINDOW_PX) - mean * mean_likeness
    slope = together / (variance + np.float32(_EDGE_VARIANCE))
    offset = mean_likeness - slope * mean
    slope, offset = (enlarge(box(p, _EDGE_WINDOW_PX), size_of(guide)) for p in (slope, offset))
    return cv2.add(cv2.multiply(guide, slope, dtype=cv2.CV_32F), offset)


def _edge(likeness: Plane, softness: float, shift: float) -> Plane:
    """Likeness as opacity: a smooth step of the wanted width at the wanted place."""
    levels = cv2.multiply(likeness, (255.0,), dtype=cv2.CV_8U)
    return cv2.LUT(levels, _edge_curve(softness, shift))


@lru_cache(maxsize=8)
def _edge_curve(softness: float, shift: float) -> Plane:
    """Opacity for each of 256 levels of likeness."""
    half_width = _HARDEST + (_SOFTEST - _HARDEST) * softness
    middle = 0.5 - _SHIFT_RANGE * shift
    steps = np.clip((np.linspace(0, 1, 256) - middle) / (2 * half_width) + 0.5, 0, 1)
    return (steps * steps * (3 - 2 * steps)).astype(np.float32)
