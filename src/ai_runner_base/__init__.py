"""Live video AI without Docker: the front door for pipeline authors.

Names are resolved on first use, so that the distribution side can run in an interpreter without pydantic or NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import (
        AudioFrame,
        AudioOutput,
        BaseParams,
        FramePipeline,
        Pipeline,
        PipelineSpec,
        VideoFrame,
        VideoOutput,
        hints,
    )

__version__ = "0.1.0"
__all__ = [
    "AudioFrame",
    "AudioOutput",
    "BaseParams",
    "FramePipeline",
    "Pipeline",
    "PipelineSpec",
    "VideoFrame",
    "VideoOutput",
    "__version__",
    "hints",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(".pipeline", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
