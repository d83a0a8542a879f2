"""Parameters."""

from ..shape import BasePipelineConfig


class Config(BasePipelineConfig):
    pipeline_id = "reward-forcing"
