"""Registration: from an entry point's text to a class that can be made."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..errors import PipelineError
from ._frame_pipeline import FramePipeline
from ._interface import Pipeline
from ._params import BaseParams, parse_params

ENTRY_POINT_FORM = "package.module:Name"


@dataclass(frozen=True)
class PipelineSpec:
    """What an entry point may name instead of a class, where an author wants to say more.

    :param name: name of the pipeline; by default the class's name in lower case, less a final ``pipeline``
    :param pipeline_cls: the class, or its place as ``package.module:Class``
    :param params_cls: class of the parameters, or its place; by default the pipeline's own ``Params``
    :param initial_params: parameters to start with, where they differ from the defaults
    """

    name: str = ""
    pipeline_cls: type[Pipeline] | str = ""
    params_cls: type[BaseParams] | str | None = None
    initial_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline whose code is imported, checked and ready to be made.

    :param name: as in `PipelineSpec`
    :param pipeline_cls: made without arguments
    :param params_cls: checks parameters
    :param initial_params: checked
    """

    name: str
    pipeline_cls: type[Pipeline]
    params_cls: type[BaseParams]
    initial_params: BaseParams


def load_pipeline(entry_point: str) -> LoadedPipeline:
    """Import what an entry point names. Runs the author's code, so only in the pipeline's own interpreter.

    :param entry_point: ``package.module:Name``, where the name is a `Pipeline` class or a `PipelineSpec`
    :raises PipelineError: it cannot be imported, or is no pipeline
    """
    target = _resolve(entry_point)
    spec = target if isinstance(target, PipelineSpec) else PipelineSpec(pipeline_cls=target)
    pipeline_cls = _check_class(_resolve(spec.pipeline_cls), Pipeline, entry_point)
    params_cls = _check_class(_resolve(spec.params_cls or pipeline_cls.Params), BaseParams, entry_point)
    if issubclass(pipeline_cls, FramePipeline) and params_cls is not pipeline_cls.Params:
        raise PipelineError(
            f"{entry_point!r}: a FramePipeline takes its parameters from {pipeline_cls.__name__}.Params",
            hint="leave params_cls out of the PipelineSpec",
        )
    name = spec.name or pipeline_cls.__name__.lower().removesuffix("pipeline")
    return LoadedPipeline(name, pipeline_cls, params_cls, parse_params(params_cls, spec.initial_params))


def _resolve(place: Any) -> Any:
    if not isinstance(place, str):
        return place
    module_name, _, path = place.partition(":")
    if not module_name or not path:
        raise PipelineError(f"entry point {place!r} does not have the form {ENTRY_POINT_FORM}")
    target: Any = _import(module_name, place)
    for part in path.split("."):
        target = _member(target, part, place)
    return target


def _import(module_name: str, place: str) -> Any:
    try:
        return import_module(module_name)
    except (Exception, SystemExit) as error:  # a module that exits on import is broken, not finished
        raise PipelineError(
            f"entry point {place!r}: importing {module_name} raised {type(error).__name__}: {error}",
            hint="check the recipe's run requirements" if isinstance(error, ImportError) else "",
            remote_traceback=traceback.format_exc(),
        ) from error


def _member(owner: Any, part: str, place: str) -> Any:
    try:
        return getattr(owner, part)
    except AttributeError:
        raise PipelineError(f"entry point {place!r}: there is no {part!r} in {owner.__name__}") from None


def _check_class(found: Any, base: type[Any], place: str) -> Any:
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise PipelineError(f"entry point {place!r} leads to {found!r}, which is no {base.__name__} class")
    if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
        raise PipelineError(f"{found.__name__} lacks {missing}", hint=f"write it in {found.__module__}")
    return found
