"""Parameters."""

from ..shape import BasePipelineConfig


class Config(BasePipelineConfig):
    pipeline_id = "krea-realtime-video"
