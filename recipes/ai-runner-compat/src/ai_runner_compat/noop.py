"""Upstream's built-in pipeline, written to its interface."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .frames import VideoFrame, VideoOutput
from .pipeline import Pipeline

_log = logging.getLogger(__name__)


class Noop(Pipeline):
    """Gives every frame back as it came."""

    def __init__(self) -> None:
        self.frame_queue: asyncio.Queue[VideoOutput] = asyncio.Queue()

    async def initialize(self, **params: Any) -> None:
        """Nothing to load."""
        _log.info("noop starts with %s", params)

    async def put_video_frame(self, frame: VideoFrame, request_id: str) -> None:  # type: ignore[override]  # translated
        """Queue the frame."""
        await self.frame_queue.put(VideoOutput(frame, request_id))

    async def get_processed_video_frame(self) -> VideoOutput:
        """Give the next one back. Upstream clones the tensor here; no tensor is made of it here."""
        return await self.frame_queue.get()

    async def update_params(self, **params: Any) -> None:
        """Nothing to apply."""
        _log.info("noop is told %s", params)
