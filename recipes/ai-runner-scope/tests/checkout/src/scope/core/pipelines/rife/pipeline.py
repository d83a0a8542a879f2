"""Three in, five out; needs a config and weights."""

import torch

from ..shape import Requirements
from .schema import Config


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
