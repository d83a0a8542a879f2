"""A worker takes over from another one between two frames, or does not get ready and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests._support.workers import Driver, is_alive

from ai_runner_base.errors import PipelineError
from ai_runner_base.supervisor import (
    PipelineReported,
    SupervisorOptions,
    WorkerFailed,
    WorkerSpec,
    WorkerState,
)

pytestmark = pytest.mark.process

PIPELINE = """\
from ai_runner_base import BaseParams, FramePipeline

class Params(BaseParams):
    plus: int = 0

class Sample(FramePipeline):
    Params = Params

    def transform(self, frame, params):
        return frame.array * 0 + {value} + params.plus
"""
OPTIONS = SupervisorOptions(load_timeout_s=20.0)


class Source:
    """A pipeline that paints one value, and is edited while it runs."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "painted.py"
        self.paint(1)

    def paint(self, value: int) -> None:
        self.write(PIPELINE.format(value=value))

    def write(self, text: str) -> None:
        self.file.write_text(text)


@contextlib.asynccontextmanager
async def painting(source: Source) -> AsyncIterator[Driver]:
    spec = WorkerSpec(Path(sys.prefix), "painted:Sample", "painted", source=source.file.parent)
    driver = Driver(spec, OPTIONS)
    try:
        await driver.supervisor.start()
        await driver.supervisor.wait_ready(20)
        driver.open()
        yield driver
    finally:
        await driver.supervisor.aclose()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


async def value(driver: Driver, pts: int) -> int:
    return int((await driver.through(9, pts)).max())


async def test_what_was_changed_counts_from_the_next_frame_on(source: Source) -> None:
    async with painting(source) as driver:
        before = driver.supervisor.info
        assert before is not None
        await driver.supervisor.update_params({"plus": 10})
        assert await value(driver, 1) == 11
        source.paint(2)
        after = await driver.supervisor.renew()
        assert await value(driver, 2) == 12
        assert after.pid != before.pid
        assert not is_alive(before.pid)
        assert driver.supervisor.restart_count == 0
        assert not list(source.file.parent.glob("__pycache__"))


async def test_frames_go_on_while_the_new_one_loads_and_none_is_lost(source: Source) -> None:
    async with painting(source) as driver:
        source.write("import time\ntime.sleep(0.5)\n" + PIPELINE.format(value=2))
        renewing = asyncio.create_task(driver.supervisor.renew())
        seen = []
        pts = 0
        while not renewing.done() or pts < 10:
            pts += 1
            driver.give(9, pts)
            output, picture = await driver.next()
            seen.append((output.pts, int(picture.max())))
        await renewing
        seen.append((pts + 1, await value(driver, pts + 1)))
        assert [at for at, _ in seen] == list(range(1, pts + 2))
        values = [painted for _, painted in seen]
        assert values == sorted(values)
        assert values.count(1) >= 10
        assert values[-1] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import not_there\n", "not_there"),
        ("class Other: pass\n", "Sample"),
    ],
)
async def test_one_that_does_not_load_changes_nothing(source: Source, text: str, said: str) -> None:
    async with painting(source) as driver:
        before = driver.supervisor.info
        source.write(text)
        with pytest.raises(PipelineError, match=said):
            await driver.supervisor.renew()
        assert await value(driver, 1) == 1
        assert driver.supervisor.info is before
        assert driver.supervisor.state is WorkerState.READY
        source.paint(3)
        await driver.supervisor.renew()
        assert await value(driver, 2) == 3


async def test_parameters_that_the_new_class_refuses_give_way_to_its_own(source: Source) -> None:
    async with painting(source) as driver:
        await driver.supervisor.update_params({"plus": 10})
        source.write(PIPELINE.format(value=2).replace("plus", "more"))
        info = await driver.supervisor.renew()
        assert "more" in info.params_schema["properties"]
        assert info.params["more"] == 0
        assert "default parameters are in force" in (await driver.event(PipelineReported)).message
        assert await value(driver, 1) == 2


async def test_a_worker_that_gave_up_is_started_again(source: Source) -> None:
    source.write("1 / 0\n")
    spec = WorkerSpec(Path(sys.prefix), "painted:Sample", "painted", source=source.file.parent)
    driver = Driver(spec, OPTIONS)
    try:
        await driver.supervisor.start()
        with pytest.raises(PipelineError, match="ZeroDivisionError"):
            await driver.supervisor.wait_ready(20)
        with pytest.raises(PipelineError, match="ZeroDivisionError"):
            await driver.supervisor.renew()
        source.paint(4)
        await driver.supervisor.renew()
        driver.open()
        assert await value(driver, 1) == 4
    finally:
        await driver.supervisor.aclose()


async def test_the_new_one_is_restarted_like_any_other(source: Source) -> None:
    async with painting(source) as driver:
        source.paint(2)
        info = await driver.supervisor.renew()
        assert driver.supervisor.replace_worker("a test")
        await driver.until(lambda: driver.supervisor.restart_count == 1 and driver.session.ready)
        assert await value(driver, 1) == 2
        assert not is_alive(info.pid)


async def test_closing_in_the_middle_leaves_nothing_behind(source: Source) -> None:
    async with painting(source) as driver:
        pid = driver.supervisor.info.pid
        mark = source.file.with_name("loading")
        source.write(f"open({str(mark)!r}, 'w').close()\nimport time\ntime.sleep(60)\n")
        renewing = asyncio.create_task(driver.supervisor.renew())
        await driver.until(mark.exists)
        await driver.supervisor.aclose()
        with pytest.raises(WorkerFailed, match="stopped"):
            await renewing
        assert not is_alive(pid)
        assert driver.supervisor.state is WorkerState.STOPPED


async def test_a_change_of_mind_ends_the_new_one_and_the_old_one_goes_on(source: Source) -> None:
    async with painting(source) as driver:
        before = driver.supervisor.info.pid
        mark = source.file.with_name("pid")
        source.write(
            f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
        )
        renewing = asyncio.create_task(driver.supervisor.renew())
        await driver.until(lambda: mark.exists() and mark.read_text())
        renewing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await renewing
        await driver.until(lambda: not is_alive(int(mark.read_text())))
        assert await value(driver, 1) == 1
        await driver.supervisor.update_params({"plus": 5})
        assert await value(driver, 2) == 6
        assert driver.supervisor.info.pid == before
        source.paint(2)
        await driver.supervisor.renew()
        assert await value(driver, 3) == 7
