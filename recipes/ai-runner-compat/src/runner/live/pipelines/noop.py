"""The built-in pipeline."""

from ai_runner_compat.noop import Noop

__all__ = ["Noop"]
