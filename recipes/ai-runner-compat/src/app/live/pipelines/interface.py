"""The abstract class and the parameters that every pipeline has."""

from ai_runner_compat.params import BaseParams
from ai_runner_compat.pipeline import Pipeline

__all__ = ["BaseParams", "Pipeline"]
