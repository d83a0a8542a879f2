"""Parameters by upstream's rules (runner/live/pipelines/interface.py)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field

from ai_runner_base.pipeline import BaseParams as NativeParams
from ai_runner_base.pipeline import hints

from .frames import DEFAULT_HEIGHT, DEFAULT_WIDTH


class BaseParams(NativeParams):
    """Parameters that every pipeline has; subclass it.

    Sizes are multiples of 64 from 384 to 1024 px. Unknown names are ignored, and instances may be changed:
    both unlike ai-runner-base's own. Fields with an alias are filled by their names as well, because pipelines
    are called with names.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore",
        frozen=False,
        allow_inf_nan=True,
        validate_default=False,
        populate_by_name=True,
    )

    width: int = Field(
        DEFAULT_WIDTH,
        ge=384,
        le=1024,
        multiple_of=64,
        description="Width of the picture that the pipeline is given",
        json_schema_extra=hints(unit="px", group="Picture", step=64, live=False),
    )
    height: int = Field(
        DEFAULT_HEIGHT,
        ge=384,
        le=1024,
        multiple_of=64,
        description="Height of the picture that the pipeline is given",
        json_schema_extra=hints(unit="px", group="Picture", step=64, live=False),
    )


class FreeParams(BaseParams):
    """For pipelines without a class of parameters: whatever else is given reaches them as it came."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")
