"""Specifications of pipelines (runner/live/pipelines/spec.py)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from ai_runner_base.pipeline import PipelineSpec as NativeSpec


class PipelineSpec(BaseModel, NativeSpec):  # type: ignore[misc]  # a model, and what the worker looks for
    """Where a pipeline and the class of its parameters are. An entry point ``ai_runner.pipeline`` may name one.

    :param name: by default the class's name in lower case, less a final ``pipeline``; orchestrators call it
        ``MODEL_ID``
    :param pipeline_cls: ``package.module:Class``
    :param params_cls: ``package.module:Class``; None: any parameters, which the pipeline gets as they come
    :param initial_params: parameters of the first `initialize`
    """

    name: str = ""
    pipeline_cls: str
    params_cls: str | None = None
    initial_params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _name_after_class(self) -> Self:
        if not self.name:
            self.name = self.pipeline_cls.rpartition(":")[2].lower().removesuffix("pipeline")
        return self


def builtin_pipeline_spec(name: str) -> PipelineSpec | None:
    """The one pipeline that upstream ships with its library, ``noop``; None for any other name."""
    if name == "noop":
        return PipelineSpec(name="noop", pipeline_cls="runner.live.pipelines.noop:Noop")
    return None
