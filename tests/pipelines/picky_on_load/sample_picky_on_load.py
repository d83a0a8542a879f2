"""Loads with default parameters only."""

from pydantic import Field

from ai_runner_base import BaseParams, FramePipeline, PipelineSpec


class PickyParams(BaseParams):
    model: str = Field("small")


class Picky(FramePipeline):
    Params = PickyParams

    def setup(self, params):
        if params.model != "small":
            raise ValueError(f"there is no model {params.model}")

    def transform(self, frame, params):
        return frame


Sample = PipelineSpec(pipeline_cls=Picky, initial_params={"model": "enormous"})
