"""The pipeline: chooses an effect and keeps time for it."""

from __future__ import annotations

from typing import Protocol

import cv2

from ai_runner_base import FramePipeline, VideoFrame

from ._picture import Picture
from .cartoon import Cartoon
from .flow import Flow
from .neon import Neon
from .params import EffectName, EffectsParams

_LONGEST_STEP_S = 0.2
"""A gap in time, or a jump back, counts as one long step."""


class Effect(Protocol):
    """One effect with its memory."""

    def __call__(self, picture: Picture, params: EffectsParams, elapsed_s: float) -> Picture:
        """Draw the next frame."""
        ...


_EFFECTS: dict[EffectName, type[Effect]] = {"neon": Neon, "cartoon": Cartoon, "flow": Flow}


class Effects(FramePipeline):
    """Picture effects on the CPU, in real time on one core."""

    Params = EffectsParams

    def setup(self, params: EffectsParams) -> None:
        """Keep to one core: the others belong to decoding and encoding, and pictures of this size gain
        little.
        """
        cv2.setNumThreads(1)
        self._key: object = None

    def transform(self, frame: VideoFrame, params: EffectsParams) -> Picture:
        """Draw one frame. Another effect or size starts afresh."""
        picture = frame.array
        key = (params.effect, picture.shape)
        if key != self._key:
            self._key, self._effect = key, _EFFECTS[params.effect]()
            self._time_s = frame.time_s
        elapsed_s, self._time_s = frame.time_s - self._time_s, frame.time_s
        if not 0 <= elapsed_s <= _LONGEST_STEP_S:
            elapsed_s = _LONGEST_STEP_S
        return self._effect(picture, params, elapsed_s)
