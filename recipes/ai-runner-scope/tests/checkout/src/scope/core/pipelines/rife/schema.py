"""Parameters."""

from typing import ClassVar

from ..shape import BasePipelineConfig, Repository


class Config(BasePipelineConfig):
    pipeline_id = "rife"
    supports_prompts = False
    artifacts: ClassVar = [Repository("somebody/RIFE", ["config.json", "flow"])]
