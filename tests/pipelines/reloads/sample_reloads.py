"""A change of `model` takes a while; the model ``bad`` cannot be loaded."""

import time

from pydantic import Field

from ai_runner_base import BaseParams, FramePipeline
from ai_runner_base.pipeline import hints


class ReloadsParams(BaseParams):
    model: str = Field("one", json_schema_extra=hints(live=False))


class Sample(FramePipeline):
    Params = ReloadsParams

    def setup(self, params):
        if params.model == "bad":
            raise OSError("the model is damaged")
        if params.model != "one":
            time.sleep(0.3)

    def transform(self, frame, params):
        return frame.array * 0 + len(params.model)
