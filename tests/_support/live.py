"""A clip in frames, and the calls that every test of a live stream makes."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import aiohttp

from ai_runner_base.media import ClipOptions, encode_ts_clip
from ai_runner_base.testing.live import FrameBytes, RunnerProcess, split_frames

SIZE = {"width": 512, "height": 512}


@cache
def clip(seconds: int = 4) -> tuple[FrameBytes, ...]:
    return tuple(split_frames(encode_ts_clip(seconds, ClipOptions(width=512, height=512, fps=30))))


async def start(run: RunnerProcess, http: aiohttp.ClientSession, name: str = "a", **more: Any) -> str:
    status, answer = await run.call(
        http,
        "POST",
        "/live-video-to-video",
        {
            "subscribe_url": f"{run.url}/ai/trickle/{name}",
            "publish_url": f"{run.url}/ai/trickle/{name}-out",
            "events_url": f"{run.url}/ai/trickle/{name}-events",
            "control_url": f"{run.url}/ai/trickle/{name}-control",
            "params": SIZE,
            **more,
        },
    )
    assert status == 200, answer
    return str(answer["request_id"])


async def wait_streams(run: RunnerProcess, http: aiohttp.ClientSession, count: int) -> None:
    async with asyncio.timeout(30):
        while len((await run.call(http, "GET", "/streams"))[1]["streams"]) != count:
            await asyncio.sleep(0.05)


async def wait_workers(run: RunnerProcess, http: aiohttp.ClientSession, count: int) -> None:
    """`/health` says IDLE as soon as one of them is ready."""
    async with asyncio.timeout(20):
        while f'state="ready"}} {count:.1f}' not in await (await http.get(f"{run.url}/metrics")).text():
            await asyncio.sleep(0.05)
