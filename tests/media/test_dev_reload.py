"""`ai-runner dev`: a live stream goes on while its pipeline's source is edited, broken and repaired."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ai_runner_base.authoring import Answers, create
from ai_runner_base.media import ClipOptions, encode_ts_clip
from ai_runner_base.testing.live import FrameBytes, RunnerProcess, Viewer, rgb, runner, send, split_frames
from ai_runner_base.trickle import client_session

pytestmark = [pytest.mark.media, pytest.mark.timeout(150)]

LIMIT_S = 30
PAINTED = "        return np.full_like(frame.array, {grey})\n"


@cache
def clip() -> tuple[FrameBytes, ...]:
    """Longer than any test takes; small, for it is encoded and decoded all the time."""
    return tuple(split_frames(encode_ts_clip(90, ClipOptions(width=128, height=128, fps=10))))


@dataclass
class Session:
    """A repository, `ai-runner dev` in it, and a stream through it."""

    pipeline: Path
    run: RunnerProcess
    http: aiohttp.ClientSession
    viewer: Viewer
    id: str

    def paint(self, grey: int) -> None:
        """Edit the pipeline, so that its pictures are of one grey."""
        head = self.pipeline.read_text().split("        levels =")[0].split("        return")[0]
        self.pipeline.write_text(head + PAINTED.format(grey=grey))

    async def until_grey(self, grey: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not (self.viewer.pictures and abs(rgb(self.viewer.pictures[-1]).mean() - grey) < 4):
                await asyncio.sleep(0.05)

    async def error(self, words: str) -> str:
        """Wait for an event about an error, as the page shows it."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                _, status = await self.run.call(self.http, "GET", f"/streams/{self.id}")
                found = [text for event in status["events"] if words in (text := str(event))]
                if found:
                    return found[-1]
                await asyncio.sleep(0.1)

    async def status(self) -> dict[str, Any]:
        return dict((await self.run.call(self.http, "GET", f"/streams/{self.id}"))[1])


@contextlib.asynccontextmanager
async def developing(folder: Path) -> AsyncIterator[Session]:
    create(folder / "soft-focus", Answers("soft-focus", ["conda-forge"]))
    pipeline = folder / "soft-focus/src/soft_focus/pipeline.py"
    async with client_session() as http, runner(str(folder / "soft-focus"), command="dev") as run:
        await run.wait_health(http, "IDLE")
        urls = {f"{kind}_url": f"{run.url}/ai/trickle/{kind}" for kind in ("subscribe", "publish")}
        params = {"width": 128, "height": 128, "strength": 0.5}
        _, answer = await run.call(http, "POST", "/live-video-to-video", {**urls, "params": params})
        viewer = Viewer()
        tasks = [
            asyncio.create_task(viewer.watch(http, urls["publish_url"])),
            asyncio.create_task(send(http, urls["subscribe_url"], clip())),
        ]
        try:
            yield Session(pipeline, run, http, viewer, answer["request_id"])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_change_takes_effect_in_the_running_stream_and_a_mistake_does_not(tmp_path: Path) -> None:
    async with developing(tmp_path) as session:
        await session.until_grey(127)  # half strength: the stream's own parameters reach the first worker
        session.paint(200)
        await session.until_grey(200)

        good = session.pipeline.read_text()
        session.pipeline.write_text(good + "def broken(:\n")
        line = good.count("\n") + 1
        said = await session.error("SyntaxError")
        assert f"src/soft_focus/pipeline.py:{line}: SyntaxError" in said
        assert "def broken(:" in said
        inference = (await session.status())["report"]["inference_status"]  # what the page reads
        assert inference["last_error"].endswith("def broken(:")
        seen = len(session.viewer.pictures)
        async with asyncio.timeout(LIMIT_S):
            while len(session.viewer.pictures) < seen + 10:
                await asyncio.sleep(0.05)
        await session.until_grey(200)

        session.paint(60)
        await session.until_grey(60)
        status = await session.status()
        assert status["params"]["strength"] == 0.5
        assert status["faults"].get("worker_restart", 0) == 0
        assert status["frames"]["lost"] == 0
        times = [picture.pts * picture.time_base for picture in session.viewer.pictures]
        assert times == sorted(set(times))
        assert max(b - a for a, b in itertools.pairwise(times)) <= 2

        session.pipeline.write_text(good.replace("return np.full_like", "return np.not_there"))
        said = await session.error("not_there")  # which loads, and fails with every frame
        assert "src/soft_focus/pipeline.py:" in said
        assert "return np.not_there(frame.array, 200)" in said


async def test_a_pipeline_that_is_broken_from_the_start_is_served_once_it_is_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "soft-focus"
    create(folder, Answers("soft-focus", ["conda-forge"]))
    params = folder / "src/soft_focus/params.py"
    good = params.read_text()
    params.write_text(good + "1 / 0\n")
    async with client_session() as http, runner(str(folder), command="dev") as run:
        said = f"src/soft_focus/params.py:{good.count(chr(10)) + 1}: ZeroDivisionError: division by zero"
        async with asyncio.timeout(LIMIT_S):
            while said not in run.lines:
                await asyncio.sleep(0.05)
        params.write_text(good)
        await run.wait_health(http, "IDLE", LIMIT_S)
        _, answer = await run.call(http, "GET", "/pipelines")
        assert [(item["name"], item["state"]) for item in answer["pipelines"]] == [("soft-focus", "READY")]
