"""What the nodes share: config classes with modes and artifacts, requirements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, Field


@dataclass
class Requirements:
    input_size: int


@dataclass
class Repository:
    repo_id: str
    files: list[str]


@dataclass
class Drive:
    file_id: str
    files: list[str] = field(default_factory=list)
    name: str | None = None


class Mode(BaseModel):
    default: bool = False
    width: int | None = None
    noise_scale: float | None = None


class BasePipelineConfig(BaseModel):
    pipeline_id: ClassVar[str] = "base"
    pipeline_name: ClassVar[str] = "Base"
    artifacts: ClassVar[list[Repository]] = []
    supports_prompts: ClassVar[bool] = True
    min_dimension: ClassVar[int] = 1
    modes: ClassVar[dict[str, Mode]] = {"video": Mode(default=True)}

    width: int = 512
    height: int = 512
    manage_cache: bool = True
    noise_scale: float | None = None
    input_size: int | None = 1

    @classmethod
    def get_defaults_for_mode(cls, mode):
        given = cls.modes[mode].model_dump(exclude={"default"}, exclude_none=True)
        return cls().model_dump() | given


def load_field(default, *, component=None):
    ui = {"is_load_param": True} | ({"component": component} if component else {})
    return Field(default, description="needed when it is made", json_schema_extra={"ui": ui})


def live_field(default):
    return Field(
        default, ge=0, le=1, description="every call", json_schema_extra={"ui": {"is_load_param": False}}
    )
