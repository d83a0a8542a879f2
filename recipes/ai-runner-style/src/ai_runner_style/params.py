"""What the painter can be told."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, create_model

from ai_runner_base import BaseParams
from ai_runner_base.pipeline import hints

StyleName = Literal[
    "sunlight",
    "comic",
    "wash",
    "ribbons",
    "woodcut",
    "fauve",
    "indigo",
    "primaries",
    "crayon",
    "bark",
    "sienna",
    "engraving",
    "impression",
    "jungle",
    "mist",
    "glass",
    "chalk",
    "weave",
    "parchment",
    "starry",
    "ember",
    "pop",
    "mural",
    "dusk",
    "linocut",
    "mosaic",
]
"""In the order of the network's input. The names are ours: the network came with numbers only."""

STYLES: tuple[StyleName, ...] = get_args(StyleName)


class PaintParams(BaseParams):
    """One style, and how it is painted."""

    style: StyleName = Field(
        "starry", description="The style to paint in", json_schema_extra=hints(group="Style")
    )
    strength: float = Field(
        1.0,
        ge=0,
        le=1,
        description="0 leaves the picture as it is",
        json_schema_extra=hints(group="Style", step=0.05),
    )
    keep_colours: float = Field(
        0.0,
        ge=0,
        le=1,
        description="1 takes only light and strokes from the painting",
        json_schema_extra=hints(group="Style", step=0.05),
    )
    detail: float = Field(
        1.0,
        ge=0,
        le=3,
        description="How much fine detail of the picture is drawn over the strokes",
        json_schema_extra=hints(group="Style", step=0.1),
    )
    calm: float = Field(
        0.9,
        ge=0,
        le=1,
        description="How firmly strokes hold still where the picture does",
        json_schema_extra=hints(group="Style", step=0.05),
    )
    resolution: int = Field(
        320,
        ge=128,
        le=1024,
        description="Longer side of what the network paints: fewer is faster, with broader strokes",
        json_schema_extra=hints(group="Style", unit="px", step=32),
    )
    fade: float = Field(
        0.8,
        ge=0,
        le=5,
        description="Time in which one style melts into the next",
        json_schema_extra=hints(group="Style", unit="s", step=0.1),
    )
    tour: float = Field(
        0.0,
        ge=0,
        le=60,
        description="Time after which the next style comes by itself; 0 stays",
        json_schema_extra=hints(group="Style", unit="s", step=1),
    )


def _slider(name: str) -> tuple[type[float], Any]:
    description = f"Adds {name}; the chosen style counts 1"
    return float, Field(
        0.0, ge=0, le=1, description=description, json_schema_extra=hints(group="Mix", step=0.05)
    )


_sliders: dict[str, Any] = {f"mix_{name}": _slider(name) for name in STYLES}

StyleParams: type[PaintParams] = create_model(
    "StyleParams",
    __base__=PaintParams,
    __module__=__name__,
    __doc__="One style, with a slider for each of the 26 that can be mixed in.",
    **_sliders,
)
