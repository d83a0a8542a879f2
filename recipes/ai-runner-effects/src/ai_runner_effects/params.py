"""What the effects can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ai_runner_base import BaseParams
from ai_runner_base.pipeline import hints

EffectName = Literal["neon", "cartoon", "flow"]


class EffectsParams(BaseParams):
    """One effect, and the settings of each."""

    effect: EffectName = Field(
        "neon",
        description="neon: edges glow in the dark; cartoon: flat colours and ink; flow: motion paints",
        json_schema_extra=hints(group="Effect"),
    )

    neon_glow: float = Field(
        1.0,
        ge=0,
        le=2,
        description="Light around the lines",
        json_schema_extra=hints(group="Neon", step=0.05),
    )
    neon_hue: float = Field(
        265.0,
        ge=0,
        le=360,
        description="Colour of the middle",
        json_schema_extra=hints(group="Neon", unit="°", step=1),
    )
    neon_spread: float = Field(
        170.0,
        ge=0,
        le=360,
        description="Range of colours from corner to corner",
        json_schema_extra=hints(group="Neon", unit="°", step=1),
    )
    neon_drift: float = Field(
        12.0,
        ge=0,
        le=180,
        description="How fast the colours wander",
        json_schema_extra=hints(group="Neon", unit="°/s", step=1),
    )
    neon_thickness: float = Field(
        1.0,
        ge=0.5,
        le=3,
        description="Thickness of the lines",
        json_schema_extra=hints(group="Neon", step=0.1),
    )
    neon_detail: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How faint an edge may be",
        json_schema_extra=hints(group="Neon", step=0.05),
    )
    neon_background: float = Field(
        0.3,
        ge=0,
        le=1,
        description="How much of the picture shines through",
        json_schema_extra=hints(group="Neon", step=0.05),
    )

    cartoon_levels: int = Field(
        6, ge=2, le=12, description="Steps of brightness", json_schema_extra=hints(group="Cartoon", step=1)
    )
    cartoon_ink: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Strength of the ink lines",
        json_schema_extra=hints(group="Cartoon", step=0.05),
    )
    cartoon_smoothness: float = Field(
        0.6,
        ge=0,
        le=1,
        description="How much detail is painted over",
        json_schema_extra=hints(group="Cartoon", step=0.05),
    )
    cartoon_color: float = Field(
        1.35,
        ge=0,
        le=2,
        description="Saturation; 1 is as it was",
        json_schema_extra=hints(group="Cartoon", step=0.05),
    )

    flow_sensitivity: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How slow a motion still shows",
        json_schema_extra=hints(group="Flow", step=0.05),
    )
    flow_trail: float = Field(
        0.35,
        ge=0,
        le=3,
        description="Time after which a trail has half its light",
        json_schema_extra=hints(group="Flow", unit="s", step=0.05),
    )
    flow_hue: float = Field(
        210.0,
        ge=0,
        le=360,
        description="Colour of motion to the right",
        json_schema_extra=hints(group="Flow", unit="°", step=1),
    )
    flow_background: float = Field(
        0.3,
        ge=0,
        le=1,
        description="How much of the picture shines through",
        json_schema_extra=hints(group="Flow", step=0.05),
    )
