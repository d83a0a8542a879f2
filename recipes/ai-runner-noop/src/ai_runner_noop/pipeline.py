"""The pipeline that changes nothing: what is left is the cost of the way."""

from __future__ import annotations

from ai_runner_base import BaseParams, FramePipeline, VideoFrame


class Noop(FramePipeline):
    """Gives every frame back as it came, without touching a pixel."""

    def transform(self, frame: VideoFrame, params: BaseParams) -> VideoFrame:
        """Give the very same frame back."""
        return frame
