"""The network's contract, section 5: the control channel and the events, over real sockets with a real clip."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests._support.live import SIZE, clip, start

from ai_runner_base.testing.live import RunnerProcess, runner, send
from ai_runner_base.trickle import JsonPublisher, JsonSubscriber, Publisher, Subscriber, client_session

pytestmark = pytest.mark.media

BIG = 40 * 1024


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


@contextlib.asynccontextmanager
async def collecting(http: aiohttp.ClientSession, url: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Collect whole event bodies until the channel ends."""
    bodies: list[dict[str, Any]] = []

    async def collect() -> None:
        async for body in JsonSubscriber(Subscriber(http, url, start=0)):
            bodies.append(body)

    task = asyncio.create_task(collect())
    yield bodies
    await asyncio.wait_for(task, 15)


async def params_of(run: RunnerProcess, http: aiohttp.ClientSession, stream: str) -> dict[str, Any]:
    _, status = await run.call(http, "GET", f"/streams/{stream}")
    return dict(status["params"])


async def test_control_messages_are_complete_params_and_failures_are_events(
    http: aiohttp.ClientSession,
) -> None:
    async with runner("--pipeline", "effects") as run:
        await run.wait_health(http, "IDLE")
        stream = await start(run, http, params={**SIZE, "effect": "cartoon", "cartoon_levels": 3})
        events_url, control_url = f"{run.url}/ai/trickle/a-events", f"{run.url}/ai/trickle/a-control"
        async with collecting(http, events_url) as bodies:
            async with JsonPublisher(Publisher(http, control_url, "application/json")) as control:
                control.put({"keep": "alive"})
                control.put({**SIZE, "effect": "flow"})
                await _until(lambda: params_of(run, http, stream), lambda p: p["effect"] == "flow")
                now = await params_of(run, http, stream)
                assert now["cartoon_levels"] != 3, "what a message leaves out has the class's default"
                control.put({**SIZE, "effect": "nonsense", "padding": "x" * BIG})
                control.put({**SIZE, "width": 640, "effect": "neon"})
                await _until(lambda: _errors(bodies), lambda found: len(found) >= 1)
                assert (await params_of(run, http, stream))["effect"] == "flow"
                control.put({**SIZE, "effect": "neon"})
                await _until(lambda: params_of(run, http, stream), lambda p: p["effect"] == "neon")
            await run.call(http, "DELETE", f"/streams/{stream}")
    assert all("parameters" in message for message in await _errors(bodies))


async def test_the_events_of_a_streams_life_have_the_networks_shapes(http: aiohttp.ClientSession) -> None:
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        async with collecting(http, f"{run.url}/ai/trickle/a-events") as bodies:
            await send(http, f"{run.url}/ai/trickle/a", clip(12))
    by_type = {body["event"]["type"]: body for body in bodies}
    traces = {"runner_receive_stream_request", "runner_receive_first_ingest_segment"}
    traces |= {"runner_send_first_processed_segment"}
    assert traces <= set(by_type)
    assert all(by_type[trace]["queue_event_type"] == "stream_trace" for trace in traces)
    assert all(isinstance(body["event"]["timestamp"], int) for body in bodies)
    status = by_type["status"]
    assert status["queue_event_type"] == "ai_stream_events"
    event = status["event"]
    assert {
        "pipeline",
        "start_time",
        "state",
        "last_state_update_time",
        "input_status",
        "inference_status",
    } <= set(event)
    assert event["state"] == "ONLINE"
    assert event["input_status"]["fps"] == pytest.approx(30, abs=4)
    assert event["inference_status"]["fps"] == pytest.approx(30, abs=6)
    assert len(event["inference_status"]["last_params_hash"]) == 32
    assert event["stages"]["total"]["count"] > 0


async def _errors(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["event"]["message"] for body in bodies if body["event"]["type"] == "error"]


async def _until(ask: Any, holds: Any, limit_s: float = 15.0) -> None:
    async with asyncio.timeout(limit_s):
        while not holds(await ask()):
            await asyncio.sleep(0.05)
