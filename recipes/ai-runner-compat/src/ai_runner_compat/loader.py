"""From a specification to its classes (runner/live/pipelines/loader.py)."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from .params import BaseParams
from .pipeline import Pipeline
from .spec import PipelineSpec


def load_pipeline_class(pipeline_cls: str) -> type[Pipeline]:
    """Import a pipeline's class.

    :param pipeline_cls: ``package.module:Class``
    """
    return cast("type[Pipeline]", _import(pipeline_cls))


def load_pipeline(pipeline_spec: PipelineSpec) -> Pipeline:
    """Make a specification's pipeline."""
    return load_pipeline_class(pipeline_spec.pipeline_cls)()


def parse_pipeline_params(spec: PipelineSpec, params: dict[str, Any]) -> BaseParams:
    """Check parameters against a specification's class.

    Upstream refuses a class whose import takes half a second or brings torch, since its server's process
    imports it too. This runner's never does, so there is no such limit.

    :raises pydantic.ValidationError: a value breaks a rule
    """
    params_cls = BaseParams if spec.params_cls is None else _import(spec.params_cls)
    return cast(BaseParams, params_cls(**params))


def _import(place: str) -> Any:
    module, _, name = place.rpartition(":")
    return getattr(import_module(module), name)
