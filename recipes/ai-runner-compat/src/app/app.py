"""What main programs call."""

from ai_runner_compat.start import create_app, prepare_models, start_app

__all__ = ["create_app", "prepare_models", "start_app"]
