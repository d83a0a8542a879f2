"""Parameters."""

from ..shape import BasePipelineConfig


class Config(BasePipelineConfig):
    pipeline_id = "gray"
    supports_prompts = False
