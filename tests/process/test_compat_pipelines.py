"""Pipelines written for livepeer/ai-runner, through a real supervisor and a real worker, unchanged.

Where this environment has no torch the tensors are those of a stand-in of 40 lines over NumPy.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from tests._support.prefixes import make_prefix
from tests._support.workers import READY_TIMEOUT_S, Driver

from ai_runner_base.supervisor import (
    ParamsRejected,
    PipelineReported,
    Reloaded,
    Reloading,
    Restarted,
    WorkerSpec,
)

pytestmark = pytest.mark.process

COMPAT = Path(__file__).parents[2] / "recipes/ai-runner-compat"
STAND_IN = [] if importlib.util.find_spec("torch") else [COMPAT / "tests/standin"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = [COMPAT / "tests/upstream", COMPAT / "src", *STAND_IN]
    return make_prefix(tmp_path_factory.mktemp("compat"), extra_paths=paths)


@asynccontextmanager
async def running(prefix: Path, entry_point: str) -> AsyncIterator[Driver]:
    driver = Driver(WorkerSpec(prefix, entry_point, "compat", env={"HOME": "/nonexistent"}))
    try:
        await driver.supervisor.start()
        await driver.supervisor.wait_ready(READY_TIMEOUT_S)
        driver.open()
        yield driver
    finally:
        await driver.supervisor.aclose()


def assert_all(picture: np.ndarray, value: int) -> None:
    assert (picture == value).all(), f"{picture[0, 0]} is not {value}"


@pytest.mark.parametrize("entry_point", ["habits:NoopPipeline", "runner.live.pipelines.noop:Noop"])
async def test_noop_gives_every_level_back_exactly(prefix: Path, entry_point: str) -> None:
    async with running(prefix, entry_point) as driver:
        for value in (0, 1, 127, 128, 254, 255):
            assert_all(await driver.through(value, pts=value), value)
        assert not driver.errors


async def test_blocking_work_in_a_thread_gets_floats_from_0_to_1(prefix: Path) -> None:
    async with running(prefix, "habits:Threaded") as driver:
        for value in (0, 100, 255):
            assert_all(await driver.through(value, pts=value), 255 - value)


async def test_several_outputs_for_one_input_keep_their_own_times(prefix: Path) -> None:
    async with running(prefix, "habits:Several") as driver:
        for pts in (0, 3000):
            driver.give(200, pts)
            results = [await driver.next() for _ in range(3)]
            assert [output.pts - pts for output, _ in results] == [0, 1000, 2000]
            for (_, picture), value in zip(results, (0, 100, 200), strict=True):
                assert_all(picture, value)


async def test_a_reload_is_a_task_and_a_failing_one_restarts_the_worker(prefix: Path) -> None:
    async with running(prefix, "habits:Reloading") as driver:
        assert_all(await driver.through(200, pts=1), 200)
        applied = await driver.supervisor.update_params({"model": "two"})
        assert applied.reloading
        assert (await driver.event(Reloading)).takes_frames is False
        await driver.event(Reloaded)
        assert_all(await driver.through(200, pts=2), 100)
        await driver.supervisor.update_params({"model": "bad"})
        assert "the model is damaged" in (await driver.event(Restarted)).reason
        await driver.supervisor.wait_ready(READY_TIMEOUT_S)


async def test_a_queue_of_its_own_without_a_limit_does_not_make_it_show_old_pictures(prefix: Path) -> None:
    async with running(prefix, "habits:Slow") as driver:
        session = driver.session
        assert session is not None
        for index in range(100):
            driver.give(index, index)
            await asyncio.sleep(0.005)
        await driver.until(lambda: session.counters.replaced + session.counters.answered == 100)
        assert session.counters.replaced > 40
        assert session.counters.answered > 5
        last, picture = driver.outputs.get_nowait()
        while not driver.outputs.empty():
            last, picture = driver.outputs.get_nowait()
        assert last.pts == 99
        assert_all(picture, 99)


async def test_an_output_of_another_stream_is_dropped(prefix: Path) -> None:
    async with running(prefix, "habits:WrongId") as driver:
        for pts in (1, 2, 3):
            assert_all(await driver.through(90, pts), 90)
        assert driver.outputs.empty()


async def test_a_wrong_dtype_costs_one_frame_and_says_what_came(prefix: Path) -> None:
    async with running(prefix, "habits:Dtypes") as driver:
        driver.give(255, pts=1)
        report = await driver.event(PipelineReported)
        assert "int64" in report.message
        assert_all(await driver.through(51, pts=2), 51)


@pytest.mark.parametrize(("value", "message"), [(255, "too bright"), (0, "too dark")])
async def test_an_exception_on_either_side_costs_one_frame(prefix: Path, value: int, message: str) -> None:
    async with running(prefix, "habits:Raises") as driver:
        driver.give(value, pts=1)
        assert message in (await driver.event(PipelineReported)).message
        assert_all(await driver.through(60, pts=2), 60)


async def test_notes_belong_to_one_frame(prefix: Path) -> None:
    """Upstream's frames share one side data; its ComfyUI pipeline takes them to be the frame's own."""
    async with running(prefix, "habits:Notes") as driver:
        for value in (10, 20, 30, 40, 50):
            driver.give(value, pts=value)
            await asyncio.sleep(0.05)
        for value in (10, 30, 50):
            output, picture = await driver.next()
            assert output.pts == value
            assert_all(picture, value)


async def test_what_is_drawn_into_the_tensor_is_seen(prefix: Path) -> None:
    async with running(prefix, "habits:InPlace") as driver:
        assert_all(await driver.through(200, pts=1), 100)


async def test_a_specification_starts_with_its_parameters_and_checks_new_ones(prefix: Path) -> None:
    async with running(prefix, "habits:gain_spec") as driver:
        assert_all(await driver.through(200, pts=1), 50)
        applied = await driver.supervisor.update_params({"gain": 0.5, "unheard_of": 1})
        assert "unheard_of" not in applied.params
        assert (applied.params["width"], applied.params["height"]) == (512, 512)
        assert_all(await driver.through(200, pts=2), 100)
        for wrong in ({"gain": 2}, {"width": 520}, {"width": 1088}, {"height": 320}):
            with pytest.raises(ParamsRejected):
                await driver.supervisor.update_params(wrong)
        await driver.supervisor.update_params({})
        assert_all(await driver.through(200, pts=3), 200)


async def test_without_a_class_of_parameters_the_pipeline_gets_what_was_sent(prefix: Path) -> None:
    async with running(prefix, "habits:Free") as driver:
        await driver.supervisor.update_params({"gain": 0.5})
        assert_all(await driver.through(200, pts=1), 100)


async def test_the_paths_before_the_renaming_work(prefix: Path) -> None:
    async with running(prefix, "older:Darker") as driver:
        assert_all(await driver.through(200, pts=1), 100)


async def test_the_migration_pages_package_runs_as_it_stands_there(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/migration.md").read_text()
    pipeline, main = re.findall(r"```python\n(.*?)```", page, re.S)
    (entry_point,) = re.findall(r'^my-pipeline = "(.*)"$', page, re.M)
    package = tmp_path / "source/my_package"
    package.mkdir(parents=True)
    (package / "pipeline.py").write_text(pipeline)
    (package / "main.py").write_text(main)
    (package / "params.py").write_text(
        "from runner.live.pipelines import BaseParams\nclass MyParams(BaseParams):\n    prompt: str = ''\n"
    )
    paths = [package.parent, COMPAT / "src", *STAND_IN]
    async with running(make_prefix(tmp_path, extra_paths=paths), entry_point) as driver:
        assert driver.supervisor.info is not None
        assert driver.supervisor.info.params["prompt"] == "a cat"
        assert_all(await driver.through(200, pts=1), 55)
