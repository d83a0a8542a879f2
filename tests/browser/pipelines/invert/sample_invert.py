"""Pipelines whose results can be told from their inputs by arithmetic alone."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from pydantic import Field

from ai_runner_base import BaseParams, FramePipeline, VideoFrame
from ai_runner_base.pipeline import hints

log = logging.getLogger(__name__)


class InvertParams(BaseParams):
    """One of every kind of parameter."""

    strength: float = Field(
        1.0, ge=0, le=1, description="0 leaves the picture as it is", json_schema_extra=hints(step=0.05)
    )
    mode: Literal["all", "red"] = Field("all", description="Which planes are inverted")
    red_floor: int = Field(
        0, ge=0, le=255, description="Least red", json_schema_extra=hints(group="Red", unit="levels")
    )
    enabled: bool = Field(True, description="Whether anything is done")
    tint: str = Field("#000000", pattern="^#[0-9a-f]{6}$", description="Added to the result")
    prompt: str = Field("", description="Read by nobody")
    weights: list[float] = Field(default=[1.0], description="Read by nobody")


class Invert(FramePipeline):
    """Inverts, the more the stronger."""

    Params = InvertParams

    def setup(self, params: InvertParams) -> None:
        log.info("inverting with strength %s", params.strength)

    def transform(self, frame: VideoFrame, params: InvertParams) -> np.ndarray:
        if not params.enabled:
            return frame.array
        inverted = 255 - frame.array
        if params.mode == "red":
            inverted[..., 1:] = frame.array[..., 1:]
            np.maximum(inverted[..., 0], params.red_floor, out=inverted[..., 0])
        mixed = frame.array + params.strength * (inverted.astype(np.float32) - frame.array)
        return mixed.astype(np.uint8)


class Swap(FramePipeline):
    """Exchanges red and blue."""

    def transform(self, frame: VideoFrame, params: BaseParams) -> np.ndarray:
        return np.ascontiguousarray(frame.array[..., ::-1])
