"""Pushes frames through the installed pipeline, as a runner does; used by the recipe's test and by pytest."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np

from ai_runner_base import VideoFrame
from ai_runner_base.pipeline import load_pipeline

FRAME_COUNT = 30


async def push_frames() -> None:
    """Every frame comes back as the very same object, in order."""
    pipeline = load_pipeline("ai_runner_noop.pipeline:Noop").pipeline_cls()
    await pipeline.initialize()
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    for pts in range(FRAME_COUNT):
        frame = VideoFrame(picture, pts, Fraction(1, 30))
        await pipeline.put_video_frame(frame, "stream")
        output = await asyncio.wait_for(pipeline.get_processed_video_frame(), 5)
        if output.frame is not frame or output.request_id != "stream":
            raise SystemExit(f"frame {pts} came back as {output}")
    await pipeline.stop()


if __name__ == "__main__":
    asyncio.run(push_frames())
    print(f"{FRAME_COUNT} frames went through unchanged")
