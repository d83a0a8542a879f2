"""A running runner takes what is installed meanwhile for its next stream; a live one keeps what it has."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from tests._support.live import SIZE, clip
from tests._support.shades import ai_runner, shade, shade_channel
from tests._support.tinychannel import write_channel

from ai_runner_base.testing.live import RunnerProcess, Viewer, rgb, runner, send
from ai_runner_base.trickle import client_session

pytestmark = [pytest.mark.media, pytest.mark.timeout(180)]

LIMIT_S = 30


async def begin(
    run: RunnerProcess, http: aiohttp.ClientSession, name: str
) -> tuple[Viewer, asyncio.Task[None]]:
    viewer = Viewer()
    urls = {f"{kind}_url": f"{run.url}/ai/trickle/{name}-{kind}" for kind in ("subscribe", "publish")}
    status, answer = await run.call(http, "POST", "/live-video-to-video", {**urls, "params": SIZE})
    assert status == 200, answer
    return viewer, asyncio.create_task(viewer.watch(http, urls["publish_url"]))


async def grey_of(run: RunnerProcess, http: aiohttp.ClientSession, name: str) -> int:
    """Stream a clip and return the grey of the last picture."""
    viewer, watching = await begin(run, http, name)
    await send(http, f"{run.url}/ai/trickle/{name}-subscribe", clip(3))
    await asyncio.wait_for(watching, LIMIT_S)
    return round(float(rgb(viewer.pictures[-1]).mean()))


async def change(*words: str | Path) -> None:
    done = await asyncio.to_thread(ai_runner, *words)
    assert done.returncode == 0, done.stderr


async def version(run: RunnerProcess, http: aiohttp.ClientSession) -> str:
    _, answer = await run.call(http, "GET", "/pipelines")
    return str(answer["pipelines"][0]["version"])


async def test_the_next_stream_has_the_new_version_and_the_live_one_keeps_the_old(tmp_path: Path) -> None:
    channel = await asyncio.to_thread(shade_channel, tmp_path / "channel", "1.0")
    prefix = tmp_path / "envs/shade"
    await change("install", "shade", "-c", channel, "--override-channels", "--prefix", prefix)
    await asyncio.to_thread(write_channel, channel, shade("2.0"))
    async with client_session() as http, runner("--pipeline=shade", f"--environments={prefix}") as run:
        await run.wait_health(http, "IDLE")
        assert await grey_of(run, http, "first") == pytest.approx(40, abs=3)

        viewer, watching = await begin(run, http, "live")
        await change("upgrade", "--prefix", prefix)
        await send(http, f"{run.url}/ai/trickle/live-subscribe", clip(3))
        await asyncio.wait_for(watching, LIMIT_S)
        assert {round(float(rgb(picture).mean()) / 10) for picture in viewer.pictures} == {4}
        assert await version(run, http) == "1.0"

        assert await grey_of(run, http, "next") == pytest.approx(200, abs=3)
        assert await version(run, http) == "2.0"
        await change("rollback", "--prefix", prefix)
        assert await grey_of(run, http, "back") == pytest.approx(40, abs=3)
        assert sum("is installed anew" in line for line in run.lines) == 2
