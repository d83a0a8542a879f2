"""Paints from a prompt, or from two frames; three pictures for each call."""

from typing import ClassVar

import torch

from ..shape import BasePipelineConfig, Mode, Repository, Requirements, live_field, load_field


class Config(BasePipelineConfig):
    pipeline_id = "longlive"
    pipeline_name = "LongLive"
    min_dimension = 16
    artifacts: ClassVar = [Repository("somebody/LongLive-1.3B", ["models/longlive_base.pt"])]
    modes: ClassVar = {"text": Mode(default=True), "video": Mode(width=640, noise_scale=0.7)}

    lora_merge_strategy: str = load_field("merge", component="lora")
    width: int = load_field(576)
    height: int = load_field(320)
    noise_scale: float = live_field(0.5)
    denoising_steps: list[int] = load_field([1000, 250])
    quantization: str | None = load_field(None)
    input_size: int = load_field(3)


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
