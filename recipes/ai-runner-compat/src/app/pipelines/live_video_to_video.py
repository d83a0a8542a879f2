"""The wrapper of live pipelines."""

from ai_runner_compat.start import LiveVideoToVideoPipeline

__all__ = ["LiveVideoToVideoPipeline"]
