"""What can be told. Names are those of the upstream runner's `streamdiffusion` pipeline where it has them.

Nothing here imports torch: whoever lists pipelines reads this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ai_runner_base import BaseParams
from ai_runner_base.pipeline import hints

AUTO = "auto"
TINY_RANDOM = "tiny-random"
SD_TURBO = "stabilityai/sd-turbo"

MOST_STEPS = 4
"""Length of a `t_index_list`; each one is a frame of latency and a row of the batch."""
MOST_BLENDED = 8
LARGEST_SIDE_PX = 2048

Text = Annotated[str, Field(max_length=2000)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(ge=0, le=10)]
Blend = Literal["linear", "slerp"]
Preprocessor = Literal["canny", "soft_edge", "standard_lineart", "passthrough"]
Guidance = Literal["none", "self", "initialize", "full"]


class ControlNet(BaseModel):
    """One ControlNet: a network that holds the painting to some property of the picture."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    model_id: str = Field(min_length=1, description="Name on the hub, or a folder")
    conditioning_scale: float = Field(1.0, ge=0, le=5, description="How strictly it is obeyed")
    preprocessor: Preprocessor = Field("canny", description="What is made of the picture for it")
    preprocessor_params: dict[
        Literal["low_threshold", "high_threshold"], Annotated[int, Field(ge=0, le=1000)]
    ] = Field(default_factory=dict, description="canny only: how steep light must change to be an edge")
    enabled: bool = Field(True, description="Off: loaded, not asked")

    @model_validator(mode="after")
    def _check_params(self) -> Self:
        if self.preprocessor_params and self.preprocessor != "canny":
            raise ValueError(f"preprocessor_params are canny's, {self.preprocessor} has none")
        return self


class StreamDiffusionParams(BaseParams):
    """A model, what it is to paint, and how far it may go from the picture."""

    width: int = Field(
        512,
        ge=64,
        le=LARGEST_SIDE_PX,
        multiple_of=8,
        description="Width of the painting; models paint best near the size that they were trained for",
        json_schema_extra=hints(unit="px", group="Picture", step=8, live=False),
    )
    height: int = Field(
        512,
        ge=64,
        le=LARGEST_SIDE_PX,
        multiple_of=8,
        description="Height of the painting",
        json_schema_extra=hints(unit="px", group="Picture", step=8, live=False),
    )

    prompt: Text | list[tuple[Text, Share]] = Field(
        "an oil painting of a portrait, bold brush strokes, masterpiece",
        description="What to paint; or a blend as a list, [[text, weight], …]",
        json_schema_extra=hints(group="Prompt"),
    )
    negative_prompt: Text = Field(
        "blurry, low quality, flat, 2d",
        description="What to keep away from, where guidance is above 1 and its kind initialize or full",
        json_schema_extra=hints(group="Prompt"),
    )
    prompt_interpolation_method: Blend = Field(
        "slerp",
        description="How prompts of a list are blended: along a line, or along a circle",
        json_schema_extra=hints(group="Prompt"),
    )
    normalize_prompt_weights: bool = Field(
        True,
        description="Weights of a list are shares of 1; off: they count as they are (linear only)",
        json_schema_extra=hints(group="Prompt"),
    )

    t_index_list: list[Annotated[int, Field(ge=0, le=99)]] = Field(
        [12, 20, 32],
        min_length=1,
        max_length=MOST_STEPS,
        description="Steps of the schedule that each frame goes through: early ones change the picture more",
        json_schema_extra=hints(group="Denoising"),
    )
    num_inference_steps: int = Field(
        50,
        ge=1,
        le=100,
        description="Length of the schedule that t_index_list counts in",
        json_schema_extra=hints(group="Denoising", step=1),
    )
    guidance_scale: float = Field(
        1.0,
        ge=1,
        le=20,
        description="How strictly the prompt is obeyed; 1 switches guidance off",
        json_schema_extra=hints(group="Denoising", step=0.1),
    )
    cfg_type: Guidance = Field(
        "self",
        description="What guidance leads away from: self, the picture; initialize, the negative prompt, asked once "
        "for each frame; full, asked at each step",
        json_schema_extra=hints(group="Denoising"),
    )
    delta: float = Field(
        0.7,
        ge=0,
        le=2,
        description="How much of that counts, with self and initialize",
        json_schema_extra=hints(group="Denoising", step=0.05),
    )
    do_add_noise: bool = Field(
        True,
        description="Fresh noise before each step after the first; off: softer, steadier",
        json_schema_extra=hints(group="Denoising"),
    )
    use_denoising_batch: bool = Field(
        True,
        description="All steps in one pass, each of another frame; off: no delay, as many passes as steps",
        json_schema_extra=hints(group="Denoising"),
    )

    seed: Seed | list[tuple[Seed, Share]] = Field(
        789,
        description="Start of the noise; or a blend as a list, [[seed, weight], …]",
        json_schema_extra=hints(group="Seed", step=1),
    )
    seed_interpolation_method: Blend = Field(
        "slerp",
        description="How the noise of several seeds is blended",
        json_schema_extra=hints(group="Seed"),
    )

    enable_similar_image_filter: bool = Field(
        False,
        description="Do not paint again what has hardly changed",
        json_schema_extra=hints(group="Still scenes"),
    )
    similar_image_filter_threshold: float = Field(
        0.98,
        ge=0,
        le=1,
        description="Likeness (cosine) from which two pictures count as the same",
        json_schema_extra=hints(group="Still scenes", step=0.005),
    )
    similar_image_filter_max_skip_frame: int = Field(
        10,
        ge=0,
        le=300,
        description="How many in a row are left out at most",
        json_schema_extra=hints(group="Still scenes", unit="frames", step=1),
    )

    model_id: str = Field(
        AUTO,
        min_length=1,
        description="Stable Diffusion 1 or 2 model: name on the hub or folder. auto: sd-turbo on a GPU, else "
        "tiny-random, which paints noise",
        json_schema_extra=hints(group="Model", live=False),
    )
    use_tiny_vae: bool = Field(
        True,
        description="See and paint by TAESD, ten times as fast as the model's own autoencoder and a little coarser",
        json_schema_extra=hints(group="Model", live=False),
    )
    lora_dict: dict[str, Annotated[float, Field(ge=-5, le=5)]] | None = Field(
        None,
        max_length=8,
        description="LoRAs by name on the hub or path, with their weights: {name: weight}",
        json_schema_extra=hints(group="Model", live=False),
    )
    controlnets: list[ControlNet] | None = Field(
        None,
        max_length=4,
        description="ControlNets; scale, preprocessor and enabled apply at once, another set is a reload",
        json_schema_extra=hints(group="Model", live=False),
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format. auto: float16 on a GPU, bfloat16 on a CPU, float32 for tiny-random",
        json_schema_extra=hints(group="Model", live=False),
    )
    acceleration: Literal["none", "compile"] = Field(
        "none",
        description="compile: torch.compile, a minute of loading for faster frames; needs a C++ compiler",
        json_schema_extra=hints(group="Model", live=False),
    )

    @field_validator("prompt", "seed")
    @classmethod
    def _check_blend(cls, value: object) -> object:
        if isinstance(value, list):
            if not 1 <= len(value) <= MOST_BLENDED:
                raise ValueError(f"a blend has 1 to {MOST_BLENDED} parts, not {len(value)}")
            if not any(weight > 0 for _, weight in value):
                raise ValueError("one weight at least must be above 0")
        return value

    @field_validator("controlnets")
    @classmethod
    def _check_controlnets(cls, value: list[ControlNet] | None) -> list[ControlNet] | None:
        names = [one.model_id for one in value or ()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} is there twice")
        return value

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        steps = self.t_index_list
        if list(steps) != sorted(steps):
            raise ValueError(f"t_index_list {steps} must not decrease")
        if steps[-1] >= self.num_inference_steps:
            last = self.num_inference_steps - 1
            raise ValueError(f"t_index_list {steps}: the last step of {self.num_inference_steps} is {last}")
        return self
