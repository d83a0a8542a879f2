"""Parameters: our own, and beside them those that the chosen node's config class declares.

scope marks a field of a config class by ``json_schema_extra["ui"]``: whether it is needed when the node is made
(``is_load_param``), and which widget draws it. What this adapter cannot carry out (LoRA, reference images) is left
out; see `_NOT_OFFERED`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from ai_runner_base import BaseParams
from ai_runner_base.errors import RunnerError
from ai_runner_base.pipeline import hints

from .device import PRECISIONS
from .nodes import CHOICE_VARIABLE, NAMES, chosen, config_class

_NOT_OFFERED: Final = frozenset({"width", "height", "input_size"})
_NO_WIDGETS: Final = frozenset({"vace", "lora", "image"})
_BASE_CONFIG: Final = "BasePipelineConfig"

_log = logging.getLogger(__name__)


class Prompt(BaseModel):
    """A text, and how much it counts beside the others."""

    text: str
    weight: float = Field(1.0, ge=0)


class ScopeParams(BaseParams):
    """What holds for every node of scope."""

    pipeline: Literal[NAMES] = Field(
        NAMES[0],
        description=f"Which of scope's pipelines runs. {CHOICE_VARIABLE} decides whose parameters are listed here",
        json_schema_extra=hints(group="scope", live=False),
    )
    mode: Literal["auto", "video", "text"] = Field(
        "auto",
        description="video: the picture is what it starts from. text: the prompt alone, at the pace of the input. "
        "auto: video where the pipeline can",
        json_schema_extra=hints(group="scope", live=False),
    )
    precision: Literal[PRECISIONS] = Field(
        "auto",
        description="Kind of numbers. auto: float32 on a CPU, what the pipeline prefers on a GPU",
        json_schema_extra=hints(group="scope", live=False),
    )
    prompt: str = Field(
        "",
        description="What to paint, for the pipelines that take a prompt",
        json_schema_extra=hints(group="scope"),
    )
    prompts: list[Prompt] = Field(
        [],
        description="Several texts with their weights, to be blended; instead of prompt",
        json_schema_extra=hints(group="scope"),
    )
    options: dict[str, Any] = Field(
        {},
        description="Further parameters of scope by name, also of a pipeline that is not the listed one",
        json_schema_extra=hints(group="scope"),
    )


def own_fields(config: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Fields that a config class declares for its node, less those that every node inherits and what we set."""
    declared = {name for base in _own_bases(config) for name in vars(base).get("__annotations__", {})}
    for name, info in config.model_fields.items():
        if name in declared and name not in _NOT_OFFERED and _ui(info).get("component") not in _NO_WIDGETS:
            yield name, info


def needs_reload(info: FieldInfo) -> bool:
    """Whether a node takes a field only when it is made. Of a field that does not say so it is assumed."""
    return bool(_ui(info).get("is_load_param", True))


def params_class(name: str, config: type[BaseModel]) -> type[ScopeParams]:
    """Our parameters and those of one node.

    :param name: of the node; the default of ``pipeline``
    :param config: its config class
    """
    defaults = mode_defaults(config, mode_of(config, "auto"))
    fields: dict[str, Any] = {
        field: (_annotation(info), _field(config, info, defaults.get(field)))
        for field, info in own_fields(config)
    }
    for size in ("width", "height"):
        fields[size] = _size_field(size, defaults.get(size))
    return create_model("ScopeParams", __base__=ScopeParams, **_choice(name), **fields)


def chosen_params() -> type[ScopeParams]:
    """Parameters of the chosen node; ours alone where scope cannot be imported, so that it can be said later."""
    try:
        return params_class(chosen(), config_class(chosen()))
    except RunnerError as error:
        _log.warning("only the parameters that all of scope's pipelines share are known: %s", error)
        return ScopeParams


def mode_of(config: type[Any], wanted: str) -> str:
    """The mode that a node runs in: the wanted one, or video if it can, else its own default.

    :raises ValueError: it has no such mode
    """
    modes = list(getattr(config, "modes", None) or {"video": None})
    if wanted == "auto":
        return "video" if "video" in modes else str(modes[0])
    if wanted not in modes:
        raise ValueError(f"mode = {wanted!r}: {config.__name__} has only {', '.join(modes)}")
    return wanted


def mode_defaults(config: type[Any], mode: str) -> Mapping[str, Any]:
    """Defaults of all fields of a config class in one mode."""
    defaults: Mapping[str, Any] = config.get_defaults_for_mode(mode)
    return defaults


def _own_bases(config: type[BaseModel]) -> Iterator[type[Any]]:
    for base in config.__mro__:
        if base.__name__ == _BASE_CONFIG or base is BaseModel:
            return
        yield base


def _ui(info: FieldInfo) -> Mapping[str, Any]:
    extra = info.json_schema_extra
    found = extra.get("ui") if isinstance(extra, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _annotation(info: FieldInfo) -> Any:
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def _field(config: type[BaseModel], info: FieldInfo, default: Any) -> Any:
    group = str(getattr(config, "pipeline_name", "") or config.__name__)
    description = info.description or _ui(info).get("label")
    return Field(
        default, description=description, json_schema_extra=hints(group=group, live=not needs_reload(info))
    )


def _size_field(name: str, default: Any) -> Any:
    info = BaseParams.model_fields[name]
    size = info.default if default is None else int(default)
    extra = dict(info.json_schema_extra or {})
    return _annotation(info), Field(size, description=info.description, json_schema_extra=extra)


def _choice(name: str) -> dict[str, Any]:
    info = ScopeParams.model_fields["pipeline"]
    extra = dict(info.json_schema_extra or {})
    return {"pipeline": (info.annotation, Field(name, description=info.description, json_schema_extra=extra))}
