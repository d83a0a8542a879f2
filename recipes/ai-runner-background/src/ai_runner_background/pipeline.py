"""The pipeline: finds the person, makes the changed picture, and joins the two."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from ai_runner_base import FramePipeline, VideoFrame
from ai_runner_style.painter import Painter
from ai_runner_style.picture import Picture, Plane, size_of, thread_count
from ai_runner_style.pipeline import Clock

from . import backdrop
from .blend import blend, blurred
from .mask import PersonMask
from .params import BackgroundParams


class Background(FramePipeline):
    """Paints, blurs or replaces the room, the person, or both."""

    Params = BackgroundParams
    _beside: ThreadPoolExecutor | None = None

    def setup(self, params: BackgroundParams) -> None:
        """Load the networks and use them once, so that the first frame of a stream is as fast as the others."""
        cv2.setNumThreads(thread_count())
        self.teardown()
        self._beside = ThreadPoolExecutor(1, "find-person")  # the painter leaves a processor half idle
        self._start()
        self._render(np.zeros((params.height, params.width, 3), np.uint8), params, 0.0)
        self._start()

    def _start(self) -> None:
        self._painter, self._mask, self._clock = Painter(), PersonMask(), Clock()

    def teardown(self) -> None:
        """End the second thread."""
        if self._beside is not None:
            self._beside.shutdown()
            self._beside = None

    def transform(self, frame: VideoFrame, params: BackgroundParams) -> Picture | VideoFrame:
        """Draw one frame."""
        result = self._render(frame.array, params, self._clock(frame))
        return frame if result is frame.array else result

    def _render(self, picture: Picture, params: BackgroundParams, elapsed_s: float) -> Picture:
        if params.effect == "paint" and params.strength == 0:
            return picture
        if params.where == "both":
            return self._changed(picture, None, params, elapsed_s)
        finding = self._beside.submit(self._where, picture, params)
        if params.effect == "paint":
            changed = self._painter(picture, params, elapsed_s)
        else:
            changed = self._changed(picture, finding.result(), params, elapsed_s)
        return blend(changed, picture, finding.result())

    def _where(self, picture: Picture, params: BackgroundParams) -> Plane:
        person = self._mask(picture, params.edge_softness, params.edge_shift, params.steadiness)
        return person if params.where == "person" else 1 - person

    def _changed(
        self, picture: Picture, where: Plane | None, params: BackgroundParams, elapsed_s: float
    ) -> Picture:
        """The whole picture as it would be if the change were everywhere."""
        size = size_of(picture)
        match params.effect:
            case "paint":
                return self._painter(picture, params, elapsed_s)
            case "blur":
                return blurred(picture, where, params.blur)
            case "colour":
                return backdrop.gradient(size, params.colour, params.colour, 0.0)
            case "gradient":
                return backdrop.gradient(size, params.colour, params.colour_2, params.angle)
            case _:
                return backdrop.picture(size, params.picture)
