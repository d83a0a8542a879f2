"""The pipeline: paints every frame."""

from __future__ import annotations

import cv2
import numpy as np

from ai_runner_base import FramePipeline, VideoFrame

from .painter import Painter
from .params import PaintParams, StyleParams
from .picture import Picture, thread_count

_LONGEST_STEP_S = 0.2
"""A gap in time, or a jump back, counts as one long step."""


class Clock:
    """Time between frames, whatever the stream's clock does."""

    def __init__(self) -> None:
        self._time_s: float | None = None

    def __call__(self, frame: VideoFrame) -> float:
        """Seconds since the frame before, at most a fifth of one; 0 for the first."""
        before_s, self._time_s = self._time_s, frame.time_s
        if before_s is None:
            return 0.0
        elapsed_s = frame.time_s - before_s
        return elapsed_s if 0 <= elapsed_s <= _LONGEST_STEP_S else _LONGEST_STEP_S


class Style(FramePipeline):
    """Paints every frame in one of 26 styles, or in a mixture of them."""

    Params = StyleParams

    def setup(self, params: PaintParams) -> None:
        """Load the network and paint once, so that the first frame of a stream is as fast as the others."""
        cv2.setNumThreads(thread_count())
        self._painter, self._clock = Painter(), Clock()
        self._painter(np.zeros((params.height, params.width, 3), np.uint8), params, 0.0)
        self._painter = Painter()

    def transform(self, frame: VideoFrame, params: PaintParams) -> Picture | VideoFrame:
        """Paint one frame."""
        painting = self._painter(frame.array, params, self._clock(frame))
        return frame if painting is frame.array else painting
