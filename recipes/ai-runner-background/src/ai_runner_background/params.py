"""What can be told: what happens, to whom, and how the edge looks. How it is painted comes from the painter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ai_runner_base import BaseParams
from ai_runner_base.pipeline import hints
from ai_runner_style.params import StyleParams

from .backdrop import MOST_CHARACTERS, from_data_url

EffectName = Literal["paint", "blur", "colour", "gradient", "picture"]
Where = Literal["room", "person", "both"]

_COLOUR = r"^#[0-9a-fA-F]{6}$"


class SceneParams(BaseParams):
    """What happens, to whom, and how the edge between person and room looks."""

    effect: EffectName = Field(
        "paint",
        description="paint: in the style below; blur; colour, gradient, picture: put in its place",
        json_schema_extra=hints(group="Scene"),
    )
    where: Where = Field(
        "room",
        description="Where it happens: to the room, to the person, or to both",
        json_schema_extra=hints(group="Scene"),
    )
    blur: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How far out of focus",
        json_schema_extra=hints(group="Scene", step=0.05),
    )
    colour: str = Field(
        "#2b1055",
        pattern=_COLOUR,
        description="The colour, or where the gradient begins",
        json_schema_extra=hints(group="Scene") | {"format": "color"},
    )
    colour_2: str = Field(
        "#f7971e",
        pattern=_COLOUR,
        description="Where the gradient ends",
        json_schema_extra=hints(group="Scene") | {"format": "color"},
    )
    angle: float = Field(
        60.0,
        ge=0,
        le=360,
        description="Direction of the gradient: 0 is to the right, 90 downwards",
        json_schema_extra=hints(group="Scene", unit="°", step=5),
    )
    picture: str = Field(
        "",
        max_length=MOST_CHARACTERS,
        description="A picture as data:image/jpeg;base64,… (or png); empty: hills at night",
        json_schema_extra=hints(group="Scene"),
    )

    edge_softness: float = Field(
        0.3,
        ge=0,
        le=1,
        description="How gradually the person ends",
        json_schema_extra=hints(group="Edge", step=0.05),
    )
    edge_shift: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="Takes the edge outwards (more person) or inwards (less)",
        json_schema_extra=hints(group="Edge", step=0.05),
    )
    steadiness: float = Field(
        0.8,
        ge=0,
        le=1,
        description="How firmly the edge holds still where the picture does",
        json_schema_extra=hints(group="Edge", step=0.05),
    )

    @field_validator("picture")
    @classmethod
    def _check_picture(cls, text: str) -> str:
        if text:
            from_data_url(text)
        return text


class BackgroundParams(StyleParams, SceneParams):  # type: ignore[valid-type, misc]  # made by pydantic at run time
    """The scene, and how it is painted: a little coarser than by the painter alone, to leave time for the mask."""

    resolution: int = Field(
        288,
        ge=128,
        le=1024,
        description="Longer side of what the network paints: fewer is faster, with broader strokes",
        json_schema_extra=hints(group="Style", unit="px", step=32),
    )
