"""Parameters."""

from typing import ClassVar

from ..shape import BasePipelineConfig, Drive


class Config(BasePipelineConfig):
    pipeline_id = "scribble"
    artifacts: ClassVar = [Drive("an-id", ["net.pth"], "scribble")]
