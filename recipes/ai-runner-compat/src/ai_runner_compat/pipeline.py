"""The class that upstream's pipelines derive from, runnable by ai-runner-base's worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar

from ai_runner_base.pipeline import BaseParams as NativeParams
from ai_runner_base.pipeline import Pipeline as NativePipeline
from ai_runner_base.pipeline import VideoFrame as NativeFrame
from ai_runner_base.pipeline import VideoOutput as NativeOutput

from .frames import VideoFrame
from .params import FreeParams

_TRANSLATED = "_ai_runner_compat"


class Pipeline(NativePipeline):
    """Upstream's abstract class: the same methods, the same calls.

    Frames are translated on their way in and results on their way out, in whichever class of the pipeline's
    ancestry the methods are written. Unlike upstream, `prepare_models` may be left out.
    """

    Params: ClassVar[type[NativeParams]] = FreeParams
    """Where a specification names no class of parameters."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, translate in (
            ("put_video_frame", _with_upstream_frame),
            ("get_processed_video_frame", _with_exact_times),
        ):
            method = getattr(cls, name)
            if not getattr(method, "__isabstractmethod__", False) and not hasattr(method, _TRANSLATED):
                translated = functools.wraps(method)(translate(method))
                setattr(translated, _TRANSLATED, True)
                setattr(cls, name, translated)


def _with_upstream_frame(method: Callable[..., Any]) -> Callable[..., Any]:
    async def put_video_frame(self: Pipeline, frame: NativeFrame, request_id: str) -> None:
        await method(self, VideoFrame.from_native(frame), request_id)

    return put_video_frame


def _with_exact_times(method: Callable[..., Any]) -> Callable[..., Any]:
    async def get_processed_video_frame(self: Pipeline) -> Any:
        output = await method(self)
        if isinstance(output, NativeOutput) and isinstance(output.frame, NativeFrame):
            _make_exact(output.frame)
        return output

    return get_processed_video_frame


def _make_exact(frame: Any) -> None:
    """Invented times may be floats, or time bases numbers; they travel as an integer and a fraction."""
    if not isinstance(frame.pts, int):
        frame.pts = int(frame.pts)
    if not isinstance(frame.time_base, Fraction):
        frame.time_base = Fraction(frame.time_base).limit_denominator(1_000_000)
