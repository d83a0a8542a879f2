"""The adapters of scope and ComfyUI in real workers, beside fakes of those programs and a stand-in for torch."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from tests._support.prefixes import make_prefix
from tests._support.workers import READY_TIMEOUT_S, Driver

from ai_runner_base.errors import PipelineError
from ai_runner_base.supervisor import ParamsRejected, PipelineReported, Reloaded, Supervisor, WorkerSpec

pytestmark = pytest.mark.process

RECIPES = Path(__file__).parents[2] / "recipes"
SCOPE, COMFYUI = RECIPES / "ai-runner-scope", RECIPES / "ai-runner-comfyui"


def _prefix(folder: Path, recipe: Path) -> Path:
    standins = [] if importlib.util.find_spec("torch") else [recipe / "tests/standin"]
    return make_prefix(folder, extra_paths=[recipe / "src", *standins])


@asynccontextmanager
async def running(prefix: Path, entry_point: str, env: dict[str, str]) -> AsyncIterator[Driver]:
    driver = Driver(WorkerSpec(prefix, entry_point, "adapter", env={"HOME": str(prefix), **env}))
    try:
        await driver.supervisor.start()
        await driver.supervisor.wait_ready(READY_TIMEOUT_S)
        driver.open()
        yield driver
    finally:
        await driver.supervisor.aclose()


async def test_chunks_of_scope_come_back_and_a_reload_changes_the_pipeline(tmp_path: Path) -> None:
    env = {"SCOPE_DIR": str(SCOPE / "tests/checkout"), "SCOPE_PIPELINE": "passthrough"}
    async with running(_prefix(tmp_path, SCOPE), "ai_runner_scope.pipeline:Scope", env) as driver:
        pts = 0
        async with asyncio.timeout(READY_TIMEOUT_S):
            while driver.outputs.qsize() < 8:  # a frame may be replaced by the next
                driver.give(pts % 256, pts)
                pts += 1
                await asyncio.sleep(0.03)
        results = [await driver.next() for _ in range(8)]
        times = [output.pts for output, _ in results]
        assert times == sorted(set(times))
        for output, picture in results:
            assert_all(picture, output.pts % 256)
        with pytest.raises(ParamsRejected, match="ai-runner prepare scope"):
            await driver.supervisor.update_params({"pipeline": "rife"})
        assert (await driver.supervisor.update_params({"pipeline": "gray"})).reloading
        await driver.event(Reloaded)
        driver.give(70, pts=10_000)
        output, picture = await driver.next()
        while output.pts != 10_000:  # the last ones of the pipeline before
            output, picture = await driver.next()
        assert_all(picture, 70)


async def test_a_worker_without_scope_says_what_to_do(tmp_path: Path) -> None:
    spec = WorkerSpec(
        _prefix(tmp_path, SCOPE), "ai_runner_scope.pipeline:Scope", "scope", env={"HOME": str(tmp_path)}
    )
    supervisor = Supervisor(spec)
    try:
        await supervisor.start()
        with pytest.raises(PipelineError, match="no module scope") as raised:
            await supervisor.wait_ready(READY_TIMEOUT_S)
        assert "SCOPE_DIR" in raised.value.hint
    finally:
        await supervisor.aclose()


async def test_a_workflow_of_comfyui_is_swapped_between_two_frames(tmp_path: Path) -> None:
    env = {"COMFYUI_DIR": str(COMFYUI / "tests/checkout")}
    level = {"class_type": "Level", "inputs": {"name": "half"}}
    halves = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": level,
        "3": {"class_type": "Scale", "inputs": {"image": ["1", 0], "level": ["2", 0]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }
    async with running(_prefix(tmp_path, COMFYUI), "ai_runner_comfyui.pipeline:ComfyUI", env) as driver:
        assert_all(await driver.through(55, pts=1), 200)
        assert not (await driver.supervisor.update_params({"workflow": halves})).reloading
        assert_all(await driver.through(100, pts=2), 50)
        with pytest.raises(ParamsRejected, match="not in list: name: 'full'"):
            await driver.supervisor.update_params({"workflow": halves, "changes": {"2.name": "full"}})
        await driver.supervisor.update_params({"workflow": halves, "changes": {"2.name": "none"}})
        driver.give(100, pts=3)
        assert "node 3 (Scale) raised ValueError" in (await driver.event(PipelineReported)).message


def assert_all(picture: np.ndarray, value: int) -> None:
    assert (picture == value).all(), f"{picture[0, 0]} is not {value}"
