"""Gives every frame back, brighter by `gain`."""

import numpy as np
from pydantic import Field

from ai_runner_base import BaseParams, FramePipeline


class EchoParams(BaseParams):
    gain: float = Field(1.0, ge=0, le=4)


class Sample(FramePipeline):
    Params = EchoParams

    def transform(self, frame, params):
        return frame if params.gain == 1 else (frame.array * params.gain).astype(np.uint8)
