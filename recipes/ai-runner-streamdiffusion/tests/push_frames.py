"""Pushes frames through the installed pipeline, as a runner does; used by the recipe's test and by pytest."""

from __future__ import annotations

import asyncio
import os
import tempfile
from fractions import Fraction

import numpy as np

from ai_runner_base import VideoFrame
from ai_runner_base.pipeline import load_pipeline

FRAME_COUNT = 6


async def push_frames(width: int, height: int, model_id: str = "tiny-random") -> None:
    """Each frame comes back in order, with its time and size, and repainted."""
    pipeline = load_pipeline("ai_runner_streamdiffusion.pipeline:StreamDiffusion").pipeline_cls()
    await pipeline.initialize(model_id=model_id, width=width, height=height)
    rng = np.random.default_rng(3)
    for pts in range(FRAME_COUNT):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        await pipeline.put_video_frame(VideoFrame(picture, pts, Fraction(1, 30)), "stream")
        if pts < 2:
            continue  # three steps: the first frame comes back with the third
        output = await asyncio.wait_for(pipeline.get_processed_video_frame(), 20)
        if output.frame.pts != pts - 2 or output.frame.array.shape != picture.shape:
            raise SystemExit(f"{width}x{height}: with frame {pts} came {output}")
    await pipeline.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as models:
        os.environ["MODEL_DIR"] = models
        for size in ((64, 64), (136, 72)):
            asyncio.run(push_frames(*size))
            print(f"{size[0]}x{size[1]}: {FRAME_COUNT} frames")
