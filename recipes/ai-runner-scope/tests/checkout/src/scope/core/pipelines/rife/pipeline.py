"""Three in, five out; needs a config and weights."""

from typing import ClassVar

import torch

from ..shape import BasePipelineConfig, Repository, Requirements


class Config(BasePipelineConfig):
    pipeline_id = "rife"
    supports_prompts = False
    artifacts: ClassVar = [Repository("somebody/RIFE", ["config.json", "flow"])]


class RifeNode:
    @classmethod
    def get_config_class(cls):
        return Config

    def __init__(self, config, device=None, dtype=torch.float16):
        self.config, self.dtype = config, dtype

    def prepare(self, **kwargs):
        return Requirements(3)

    def __call__(self, **kwargs):
        frames = torch.cat(kwargs["video"]).to(torch.float32) / 255
        return {"video": torch.cat([frames[[0, 0, 1, 1]], frames[2:]])}
