"""Parameters: what a pipeline can be told, with ranges that a page can draw sliders from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import CallerError

DEFAULT_SIZE_PX = 512
MAX_PIXELS = 3840 * 2160
"""One picture of 4K; the slots of the frame rings have this size at most."""

LIVE_KEY = "x-live"
"""Schema key: true when a change applies from the next frame on, false when it needs a reload."""

ParamsT = TypeVar("ParamsT", bound="BaseParams")


def hints(
    *, unit: str | None = None, group: str | None = None, step: float | None = None, live: bool = True
) -> dict[str, Any]:
    """Hints for people and pages, to be given as ``Field(json_schema_extra=hints(...))``.

    :param unit: what the number counts, such as ``px``, ``°`` or ``frames``
    :param group: heading under which a page shows the parameter
    :param step: distance between two values of a slider
    :param live: false when a change needs a reload (`FramePipeline.setup` is called again)
    """
    given = {"unit": unit, "group": group, "step": step}
    return {key: value for key, value in given.items() if value is not None} | {LIVE_KEY: live}


class BaseParams(BaseModel):
    """Parameters that every pipeline has. Subclass it and add fields of your own.

    Parameters are immutable and always complete: an update replaces all of them, and what it leaves out falls
    back to its default. Unknown names are refused, and so are NaN and infinity.

    Sizes are multiples of 8 from 64 to 3840 px, at most 3840x2160 px in all. That is a superset of the
    upstream runner's rule (384 to 1024, multiples of 64): whatever it accepts is accepted here, and 640x480,
    720p and 1080p are too.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),  # authors call a field model_id
    )

    width: int = Field(
        DEFAULT_SIZE_PX,
        ge=64,
        le=3840,
        multiple_of=8,
        description="Width of the picture that the pipeline is given",
        json_schema_extra=hints(unit="px", group="Picture", step=8, live=False),
    )
    height: int = Field(
        DEFAULT_SIZE_PX,
        ge=64,
        le=3840,
        multiple_of=8,
        description="Height of the picture that the pipeline is given",
        json_schema_extra=hints(unit="px", group="Picture", step=8, live=False),
    )
    show_reloading_frame: bool = Field(
        True,
        description="Show a waiting picture while the pipeline reloads",
        json_schema_extra=hints(group="Picture"),
    )

    @model_validator(mode="after")
    def _check_area(self) -> Self:
        if self.width * self.height > MAX_PIXELS:
            raise ValueError(f"{self.width}x{self.height} is more than 3840x2160 pixels")
        return self

    def get_output_resolution(self) -> tuple[int, int]:
        """(width, height) of what the pipeline gives back. Override it where that is not the input's size."""
        return self.width, self.height

    @classmethod
    def reload_names(cls) -> frozenset[str]:
        """Names of the parameters whose change needs a reload (``hints(live=False)``)."""
        return frozenset(
            name for name, field in cls.model_fields.items() if not _is_live(field.json_schema_extra)
        )


def _is_live(extra: object) -> bool:
    return not isinstance(extra, Mapping) or bool(extra.get(LIVE_KEY, True))


class ParamsError(CallerError):
    """Parameters that break a rule.

    :param details: one entry for each broken rule: ``loc`` (path of names), ``msg``, ``type``
    """

    def __init__(self, message: str, *, hint: str = "", details: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.details = details


def parse_params(params_cls: type[ParamsT], values: Mapping[str, Any]) -> ParamsT:
    """Check values and fill in defaults.

    :param values: complete or partial parameters by name, as they came from JSON
    :raises ParamsError: naming every broken rule
    """
    try:
        return params_cls.model_validate(dict(values))
    except ValidationError as error:
        raise _params_error(params_cls, error) from None


def _params_error(params_cls: type[BaseParams], error: ValidationError) -> ParamsError:
    details = error.errors(include_url=False, include_context=False)
    message = "; ".join(_sentence(detail["loc"], detail["msg"], detail["input"]) for detail in details)
    hint = _nearest_names(params_cls, [str(d["loc"][0]) for d in details if d["type"] == "extra_forbidden"])
    kept = tuple({key: detail[key] for key in ("loc", "msg", "type")} for detail in map(dict, details))
    return ParamsError(f"invalid parameters: {message}", hint=hint, details=kept)


def _sentence(loc: tuple[int | str, ...], rule: str, value: object) -> str:
    if not loc:
        return rule
    shown = repr(value)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    return f"{'.'.join(map(str, loc))} = {shown}: {rule}"


def _nearest_names(params_cls: type[BaseParams], unknown: list[str]) -> str:
    if not unknown:
        return ""
    known = list(params_cls.model_fields)
    near = [match for name in unknown for match in difflib.get_close_matches(name, known, n=1)]
    return f"did you mean {', '.join(near)}?" if near else f"there is {', '.join(known)}"


def params_schema(params_cls: type[BaseParams]) -> dict[str, Any]:
    """JSON schema of the parameters; every property says whether a change applies live (`LIVE_KEY`)."""
    schema = params_cls.model_json_schema()
    for prop in schema.get("properties", {}).values():
        prop.setdefault(LIVE_KEY, True)
    return schema
