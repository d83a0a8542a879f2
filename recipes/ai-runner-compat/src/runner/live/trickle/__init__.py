"""Frames, and the two ends of a trickle channel, which are imported when they are asked for.

Upstream's ``run_subscribe`` and ``run_publish`` are the insides of its runner, not a pipeline's business, and
are not here.
"""

from importlib import import_module
from typing import Any

from ai_runner_compat.frames import (
    DEFAULT_HEIGHT,
    DEFAULT_WIDTH,
    AudioFrame,
    AudioOutput,
    InputFrame,
    OutputFrame,
    VideoFrame,
    VideoOutput,
)

__all__ = [
    "DEFAULT_HEIGHT",
    "DEFAULT_WIDTH",
    "AudioFrame",
    "AudioOutput",
    "InputFrame",
    "OutputFrame",
    "TricklePublisher",
    "TrickleSubscriber",
    "VideoFrame",
    "VideoOutput",
]


def __getattr__(name: str) -> Any:
    """Import the HTTP clients only where they are used: a worker needs none."""
    if name in ("TricklePublisher", "TrickleSubscriber"):
        return getattr(import_module("ai_runner_compat.trickle"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
