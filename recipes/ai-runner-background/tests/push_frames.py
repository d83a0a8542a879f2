"""Pushes frames through the installed pipeline, as a runner does; used by the recipe's test and by pytest."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np

from ai_runner_base import VideoFrame
from ai_runner_base.pipeline import load_pipeline

FRAME_COUNT = 3
SIZES_PX = ((640, 480), (328, 200))


def moving_scene(width: int, height: int, pts: int) -> np.ndarray:
    """A bright square that travels over a soft gradient."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 2] = np.linspace(40, 200, width, dtype=np.uint8)
    left = 8 * pts % (width // 2)
    picture[height // 4 : height // 2, left : left + width // 4] = (250, 180, 40)
    return picture


async def push_frames(effect: str, where: str, width: int, height: int) -> None:
    """Each frame comes back in order, with its size, and changed."""
    pipeline = load_pipeline("ai_runner_background.pipeline:Background").pipeline_cls()
    await pipeline.initialize(effect=effect, where=where, width=width, height=height)
    for pts in range(FRAME_COUNT):
        picture = moving_scene(width, height, pts)
        await pipeline.put_video_frame(VideoFrame(picture, pts, Fraction(1, 30)), "stream")
        output = await asyncio.wait_for(pipeline.get_processed_video_frame(), 20)
        array = output.frame.array
        if output.frame.pts != pts or array.shape != picture.shape or np.array_equal(array, picture):
            raise SystemExit(f"{effect} at {width}x{height}: frame {pts} came back as {output}")
    await pipeline.stop()


if __name__ == "__main__":
    for name, place in (("paint", "room"), ("blur", "room"), ("gradient", "both"), ("picture", "room")):
        for size in SIZES_PX:
            asyncio.run(push_frames(name, place, *size))
        print(f"{name} ({place}): {FRAME_COUNT} frames at each of {len(SIZES_PX)} sizes")
