"""From parameters to what a node is made with and called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydantic import ValidationError

from ai_runner_base.errors import CallerError

from .nodes import config_class
from .params import ScopeParams, mode_defaults, mode_of, needs_reload, own_fields

_CALL_NAMES = {"denoising_steps": "denoising_step_list"}
"""Fields of a config class that a call knows by another name."""


@dataclass(frozen=True)
class Plan:
    """What parameters mean for one node.

    :param name: the node
    :param mode: video or text
    :param width: of the pictures, in px
    :param height: of the pictures, in px
    :param precision: one of `device.PRECISIONS`
    :param load: settings that need the node to be made again, plain values by name
    :param call: settings that every call is given
    """

    name: str
    mode: str
    width: int
    height: int
    precision: str
    load: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)

    def needs_reload(self, before: Plan) -> bool:
        """Whether a node that was made for another plan does not serve this one."""
        return self._made_with() != before._made_with()

    def _made_with(self) -> tuple[Any, ...]:
        return self.name, self.mode, self.width, self.height, self.precision, self.load


def make_plan(params: ScopeParams) -> Plan:
    """Read parameters. Imports the node's config class.

    :raises CallerError: the node does not go with them
    :raises HostError: that cannot be imported
    """
    config = config_class(params.pipeline)
    mode = _mode(params, config)
    _check_size(params, config)
    values = _values(params, config, mode)
    load = {name: _plain(values[name]) for name, info in own_fields(config) if needs_reload(info)}
    call = {_CALL_NAMES.get(name, name): value for name, value in values.items()}
    return Plan(
        name=params.pipeline,
        mode=mode,
        width=params.width,
        height=params.height,
        precision=params.precision,
        load=load,
        call=call | _prompts(params, config),
    )


def _mode(params: ScopeParams, config: type[Any]) -> str:
    try:
        return mode_of(config, params.mode)
    except ValueError as error:
        raise CallerError(str(error)) from None


def _check_size(params: ScopeParams, config: type[Any]) -> None:
    step = int(getattr(config, "min_dimension", 1) or 1)
    if params.width % step or params.height % step:
        raise CallerError(
            f"{params.width}x{params.height}: {params.pipeline} takes sizes that are multiples of {step} px",
            hint=f"the next smaller size is {params.width // step * step}x{params.height // step * step}",
        )


def _values(params: ScopeParams, config: type[Any], mode: str) -> dict[str, Any]:
    """Own fields of the node: as given; where one has its default, the default of the mode."""
    defaults = mode_defaults(config, mode)
    values: dict[str, Any] = {}
    for name, _ in own_fields(config):
        info = type(params).model_fields.get(name) if _is_listed(params) else None
        given = getattr(params, name) if info is not None else None
        values[name] = defaults[name] if info is None or given == info.default else given
    return values | _options(params, config)


def _options(params: ScopeParams, config: type[Any]) -> dict[str, Any]:
    """Options as given; those that the config class knows are checked by it."""
    known = {name: value for name, value in params.options.items() if name in config.model_fields}
    try:
        checked = config(**known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CallerError(f"options.{place} = {first['input']!r}: {first['msg']}") from None
    return params.options | {name: getattr(checked, name) for name in known}


def _is_listed(params: ScopeParams) -> bool:
    """Whether the parameters are those of the node that runs, not of another one."""
    return bool(type(params).model_fields["pipeline"].default == params.pipeline)


def _prompts(params: ScopeParams, config: type[Any]) -> dict[str, Any]:
    if not getattr(config, "supports_prompts", True):
        return {}
    prompts = [prompt.model_dump() for prompt in params.prompts]
    return {"prompts": prompts or [{"text": params.prompt, "weight": 1.0}]}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
