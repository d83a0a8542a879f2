"""StreamDiffusion in a real worker: frames through the rings, live changes, a reload, and what is refused."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests._support.workers import TIME_BASE, Driver

from ai_runner_base.supervisor import ParamsRejected, Reloaded, SupervisorOptions, WorkerSpec

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        importlib.util.find_spec("ai_runner_streamdiffusion") is None,
        reason="streamdiffusion is in an environment of its own, see the task test-streamdiffusion",
    ),
]

SMALL = {"width": 64, "height": 64}
LIMIT_S = 90.0


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    """A worker that has loaded the model `tiny-random`."""
    env = {
        "MODEL_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "PATH": os.environ["PATH"],
    }
    entry_point = "ai_runner_streamdiffusion.pipeline:StreamDiffusion"
    spec = WorkerSpec(Path(sys.prefix), entry_point, "streamdiffusion", env=env)
    driver = Driver(spec, SupervisorOptions(load_timeout_s=LIMIT_S))
    try:
        await driver.supervisor.start()
        await driver.supervisor.wait_ready(LIMIT_S)
        await driver.supervisor.update_params(SMALL)
        driver.open(lossless=True)
        yield driver
    finally:
        await driver.supervisor.aclose()


async def _give(driver: Driver, pts: int) -> None:
    session = driver.session
    assert session is not None
    slot = await asyncio.to_thread(session.acquire, 64, 64, LIMIT_S)
    assert slot is not None
    slot.array[:] = np.random.default_rng(pts).integers(0, 256, slot.array.shape)
    session.commit(slot, pts, TIME_BASE)


async def test_frames_changes_and_reloads_through_a_real_worker(driver: Driver) -> None:
    supervisor = driver.supervisor
    for pts in range(1, 9):
        await _give(driver, 3000 * pts)
    answers = [await driver.next(LIMIT_S) for _ in range(8)]  # the last two without frames behind them
    assert [output.pts for output, _ in answers] == [3000 * pts for pts in range(1, 9)]
    assert all(picture.shape == (64, 64, 3) and picture.std() > 0 for _, picture in answers)

    applied = await supervisor.update_params({**SMALL, "t_index_list": [25], "prompt": [["a", 1], ["b", 2]]})
    assert not applied.reloading
    await _give(driver, 30_000)
    assert (await driver.next(LIMIT_S))[0].pts == 30_000

    applied = await supervisor.update_params({**SMALL, "use_tiny_vae": False})
    assert applied.reloading
    await driver.event(Reloaded, LIMIT_S)
    await _give(driver, 33_000)
    assert (await driver.next(LIMIT_S))[0].pts == 33_000

    for refused, why in (
        ({"model_id": "stabilityai/sd-turbo"}, "ai-runner prepare streamdiffusion"),
        ({"dtype": "float16"}, "a CPU takes minutes"),
        ({"t_index_list": [30, 20]}, "must not decrease"),
    ):
        with pytest.raises(ParamsRejected, match=why):
            await supervisor.update_params({**SMALL, **refused})
    await _give(driver, 36_000)
    assert (await driver.next(LIMIT_S))[0].pts == 36_000
    assert supervisor.restart_count == 0
