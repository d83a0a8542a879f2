"""Pushes frames through a pipeline written to upstream's interface; used by the recipe's test and by pytest."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np

from ai_runner_base import VideoFrame
from runner.live.pipelines import Pipeline
from runner.live.trickle import VideoOutput


class Inverted(Pipeline):
    """Gives arrays where others give tensors, so that it needs no torch."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[VideoOutput] = asyncio.Queue()

    async def initialize(self, **params: object) -> None:
        """Nothing to load."""

    async def put_video_frame(self, frame, request_id) -> None:
        """Invert."""
        picture = 1 - frame.array[None] / np.float32(255)
        await self.queue.put(VideoOutput(frame, request_id).replace_tensor(picture))

    async def get_processed_video_frame(self) -> VideoOutput:
        """In order."""
        return await self.queue.get()

    async def update_params(self, **params: object) -> None:
        """Nothing to apply."""


async def push_frames() -> None:
    """Each frame comes back inverted, in order, with its time."""
    pipeline = Inverted()
    await pipeline.initialize()
    for pts in range(5):
        picture = np.full((384, 448, 3), 40 * pts, np.uint8)
        await pipeline.put_video_frame(VideoFrame(picture, pts, Fraction(1, 30)), "stream")
        output = await asyncio.wait_for(pipeline.get_processed_video_frame(), 5)
        if output.timestamp != pts or not (output.frame.array == 255 - picture).all():
            raise SystemExit(f"frame {pts} came back as {output}")
    await pipeline.stop()


if __name__ == "__main__":
    asyncio.run(push_frames())
    print("5 frames, inverted by a pipeline of upstream's interface")
