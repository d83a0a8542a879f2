"""Paints from a prompt, or from two frames; three pictures for each call."""

import torch

from ..shape import Requirements
from .schema import Config


class LongLiveNode:
    @classmethod
    def get_config_class(cls):
        return Config

    def __init__(self, config, quantization=None, device=None, dtype=torch.bfloat16, stage_callback=None):
        stage_callback("loading")
        self.config, self.quantization = config, quantization
        self.calls = []

    def prepare(self, **kwargs):
        return Requirements(2) if kwargs.get("video") is not None else None

    def __call__(self, **kwargs):
        if kwargs["prompts"][0]["text"] == "fail":
            raise ValueError("no such picture")
        self.calls.append(kwargs)
        return {"video": torch.full((3, 64, 64, 3), len(self.calls) / 10)}
