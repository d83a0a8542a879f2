"""Makes a node: constructors of scope differ, so each is given those arguments that it names."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ai_runner_base.errors import HostError, PipelineError

from . import device, weights
from .nodes import node_class
from .plan import Plan

_log = logging.getLogger(__name__)


def build(plan: Plan) -> Any:
    """Make the node of a plan. May take minutes.

    :raises HostError: a package or weights are missing
    :raises CallerError: the precision does not go with the device
    :raises PipelineError: its constructor wants something unknown
    """
    models = weights.models_dir()  # scope reads the folder when it is imported, too
    node = node_class(plan.name)
    weights.require(plan.name, node.get_config_class())
    where = device.place(plan.precision)
    arguments = {
        "device": where.device,
        "height": plan.height,
        "width": plan.width,
        "stage_callback": lambda stage: _log.info("%s: %s", plan.name, stage),
        **plan.load,
    }
    if where.dtype is not None:
        arguments["dtype"] = where.dtype
    parameters = inspect.signature(node).parameters
    if "config" in parameters:
        arguments["config"] = _config(plan, where, models)
    return node(**_named(plan.name, parameters, arguments))


def call_with(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a node's method with those arguments that it names; with all of them if it takes any."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return function(**arguments)
    return function(**{name: value for name, value in arguments.items() if name in parameters})


def _named(
    name: str, parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    required = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if unknown := [wanted for wanted in required if wanted not in arguments]:
        raise PipelineError(
            f"scope's pipeline {name!r} is made with {', '.join(unknown)}, which this adapter does not know",
            hint="it was written for another version of scope",
        )
    return {wanted: arguments[wanted] for wanted in parameters if wanted in arguments}


def _config(plan: Plan, where: device.Place, models: Any) -> Any:
    """Settings by name, and places of weights, as an OmegaConf object: the nodes read it by attribute."""
    try:
        omegaconf = import_module("omegaconf").OmegaConf
    except ModuleNotFoundError as error:
        raise HostError(f"scope's pipeline {plan.name!r} needs omegaconf", hint="add omegaconf") from error
    settings: dict[str, Any] = {
        "model_dir": str(models),
        "height": plan.height,
        "width": plan.width,
        "fp32": str(where.dtype).endswith("float32"),  # video-depth-anything halves its numbers otherwise
    }
    settings |= {name: str(models / path) for name, path in weights.CONFIG_FILES.get(plan.name, {}).items()}
    return omegaconf.create(settings | dict(plan.load))
