"""Parameters."""

from typing import ClassVar

from ..shape import BasePipelineConfig, Mode, Repository, live_field, load_field


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
