"""What a pipeline's author sees: parameters, frames, and the two ways of writing a pipeline.

Needs NumPy and pydantic only. torch, CuPy and friends are imported where a frame is first asked for a tensor,
inside the worker, and never before.
"""

from . import arrays
from ._audio import AudioFrame, AudioOutput
from ._convert import PictureLayout, picture_layout, to_uint8
from ._frame import VideoFrame, VideoOutput
from ._frame_pipeline import FramePipeline
from ._interface import Pipeline
from ._params import BaseParams, ParamsError, hints, params_schema, parse_params
from ._spec import LoadedPipeline, PipelineSpec, load_pipeline
from .arrays import FLOAT_RANGE

__all__ = [
    "FLOAT_RANGE",
    "AudioFrame",
    "AudioOutput",
    "BaseParams",
    "FramePipeline",
    "LoadedPipeline",
    "ParamsError",
    "PictureLayout",
    "Pipeline",
    "PipelineSpec",
    "VideoFrame",
    "VideoOutput",
    "arrays",
    "hints",
    "load_pipeline",
    "params_schema",
    "parse_params",
    "picture_layout",
    "to_uint8",
]
