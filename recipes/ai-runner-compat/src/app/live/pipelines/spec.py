"""Specifications of pipelines."""

from ai_runner_compat.spec import PipelineSpec, builtin_pipeline_spec

__all__ = ["PipelineSpec", "builtin_pipeline_spec"]
