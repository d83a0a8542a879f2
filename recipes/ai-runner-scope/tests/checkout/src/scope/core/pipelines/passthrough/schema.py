"""Parameters."""

from ..shape import BasePipelineConfig


class Config(BasePipelineConfig):
    pipeline_id = "passthrough"
    pipeline_name = "Passthrough"
    supports_prompts = False
