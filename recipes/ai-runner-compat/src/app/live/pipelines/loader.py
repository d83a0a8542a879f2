"""From a specification to its classes."""

from ai_runner_compat.loader import load_pipeline, load_pipeline_class, parse_pipeline_params

__all__ = ["load_pipeline", "load_pipeline_class", "parse_pipeline_params"]
