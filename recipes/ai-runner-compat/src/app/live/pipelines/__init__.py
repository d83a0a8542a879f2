"""What a pipeline is written against."""

from ai_runner_compat.params import BaseParams
from ai_runner_compat.pipeline import Pipeline
from ai_runner_compat.spec import PipelineSpec, builtin_pipeline_spec

__all__ = ["BaseParams", "Pipeline", "PipelineSpec", "builtin_pipeline_spec"]
