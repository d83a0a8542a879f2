"""Parameters that kill, and workers that are alive but of no use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests._support.prefixes import make_prefix
from tests._support.workers import Driver, running

from ai_runner_base.supervisor import ParamsTakenBack, Ready, Restarted, SupervisorOptions, WorkerState

pytestmark = pytest.mark.process

PROBATION_S = 0.5


@asynccontextmanager
async def calamities(tmp_path: Path) -> AsyncIterator[Driver]:
    options = SupervisorOptions(params_probation_s=PROBATION_S, backoff_first_s=0.01)
    async with running(make_prefix(tmp_path, ["calamities"]), "calamities", options) as driver:
        await driver.event(Ready)
        yield driver


async def die_of_a_frame(driver: Driver) -> None:
    driver.give(1, pts=0)
    await driver.event(Restarted)


async def test_parameters_that_kill_two_workers_make_way_for_those_before(tmp_path: Path) -> None:
    async with calamities(tmp_path) as driver:
        await driver.supervisor.update_params({"gain": 7})
        await asyncio.sleep(1.2 * PROBATION_S)
        await driver.supervisor.update_params({"act": "poison"})
        await die_of_a_frame(driver)
        assert (await driver.event(Ready)).info.params["act"] == "poison", "once may be an accident"
        await die_of_a_frame(driver)
        taken_back = await driver.event(ParamsTakenBack)
        assert (taken_back.params["act"], taken_back.instead["gain"]) == ("poison", 7)
        assert (await driver.event(Ready)).info.params["gain"] == 7
        await driver.through(5, pts=10)


async def test_the_next_stream_does_not_inherit_parameters(tmp_path: Path) -> None:
    async with calamities(tmp_path) as driver:
        await driver.supervisor.update_params({"gain": 7})
        assert driver.session is not None
        driver.session.close()
        driver.open("another stream")
        await driver.supervisor.update_params({"act": "poison"})
        await die_of_a_frame(driver)
        await driver.event(Ready)
        await die_of_a_frame(driver)
        assert (await driver.event(ParamsTakenBack)).instead is None
        assert (await driver.event(Ready)).info.params["gain"] == 0


async def test_a_useless_worker_is_replaced_and_says_where_it_stood(tmp_path: Path) -> None:
    async with calamities(tmp_path) as driver:
        await driver.supervisor.update_params({"act": "hang", "strike": 1})
        driver.give(1, pts=0)
        await asyncio.sleep(0.3)
        assert driver.supervisor.replace_worker("no picture for 5 s")
        assert not driver.supervisor.replace_worker("no picture"), "it is ending already"
        restarted = await driver.event(Restarted)
        assert "no picture for 5 s" in restarted.reason
        assert any("in strike" in line for line in restarted.log_tail), "no stack of the hanging frame"
        await driver.event(Ready)
        await driver.through(5, pts=10)


async def test_where_no_worker_is_ready_there_is_none_to_replace(tmp_path: Path) -> None:
    async with calamities(tmp_path) as driver:
        await driver.supervisor.aclose()
        assert not driver.supervisor.replace_worker("no picture")
        assert driver.supervisor.state is WorkerState.STOPPED
