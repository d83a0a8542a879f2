"""One runner, two environments whose packages conflict, two streams at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import psutil
import pytest
from tests._support.prefixes import SamplePipeline, make_prefix

from ai_runner_base.media import ClipOptions, encode_ts_clip
from ai_runner_base.testing.live import RunnerProcess, Viewer, rgb, runner, send, split_frames
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.media

PIPELINE = """
import numpy as np
import shade  # two versions of it exist, and each pipeline needs its own
from ai_runner_base import BaseParams, FramePipeline

class Paint(FramePipeline):
    Params = BaseParams
    def transform(self, frame, params):
        return np.full_like(frame.array, shade.GREY)
"""


def _environment(tmp_path: Path, name: str, version: str, grey: int) -> Path:
    folder = tmp_path / f"{name}-packages"
    folder.mkdir()
    (folder / "shade.py").write_text(f"__version__ = '{version}'\nGREY = {grey}\n")
    (folder / f"paint_{name}.py").write_text(PIPELINE)
    pipeline = SamplePipeline(name, f"paint_{name}:Paint", folder)
    return make_prefix(tmp_path, [pipeline], name=name)


async def _one_stream(run: RunnerProcess, name: str, http: aiohttp.ClientSession) -> list[int]:
    viewer = Viewer()
    frames = split_frames(encode_ts_clip(3, ClipOptions(width=256, height=256, fps=30)))
    body = {
        "subscribe_url": f"{run.url}/ai/trickle/{name}",
        "publish_url": f"{run.url}/ai/trickle/{name}-out",
        "model_id": name,
        "params": {"width": 256, "height": 256},
    }
    status, answer = await run.call(http, "POST", "/live-video-to-video", body)
    assert status == 200, answer
    watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/{name}-out"))
    await send(http, f"{run.url}/ai/trickle/{name}", frames)
    await asyncio.wait_for(watching, 20)
    return [round(float(rgb(picture).mean())) for picture in viewer.pictures]


async def test_two_pipelines_with_conflicting_packages_serve_at_the_same_time(tmp_path: Path) -> None:
    prefixes = [_environment(tmp_path, "dark", "1.0", 40), _environment(tmp_path, "light", "2.0", 200)]
    where = [f"--environments={prefix}" for prefix in prefixes]
    async with client_session() as http, runner("--pipeline=dark", "--pipeline=light", *where) as run:
        await run.wait_health(http, "IDLE")
        children = psutil.Process(run.pid).children()
        interpreters = {Path(child.cmdline()[0]).parents[1] for child in children}
        assert interpreters == set(prefixes)
        dark, light = await asyncio.gather(_one_stream(run, "dark", http), _one_stream(run, "light", http))
    assert len(dark) > 60
    assert len(light) > 60
    assert all(abs(grey - 40) <= 3 for grey in dark)
    assert all(abs(grey - 200) <= 3 for grey in light)
