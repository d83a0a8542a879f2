"""Sessions through an orchestrator's proxy to a real runner process: a real clip, real workers, real deaths."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests._support.live import SIZE, clip, start
from tests._support.live_runner import (
    Client,
    ready_entry,
    registered_runner,
    until,
    wait_streams,
)
from tests._support.orchestrator import SECRET, Orchestrator

from ai_runner_base.media import read_counter
from ai_runner_base.testing.live import Viewer, rgb, send
from ai_runner_base.trickle import JsonSubscriber, Subscriber, client_session

pytestmark = pytest.mark.media


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


async def test_register_reserve_stream_release(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        entry = await ready_entry(orch)
        assert entry.body["app"] == "live-video-to-video/noop"
        assert (entry.body["capacity"], entry.body["mode"]) == (1, "persistent")
        metadata = json.loads(entry.body["metadata"])
        assert metadata["package"] == "ai-runner-noop"
        assert metadata["workers"] == 1
        client = await Client.reserve(http, orch, entry)
        answer = await client.start()
        assert answer["manifest_id"] == client.session_id
        assert all(
            answer[key].startswith(orch.url) for key in ("publish_url", "subscribe_url", "control_url")
        )
        viewer = Viewer()
        watching = asyncio.create_task(viewer.watch(http, answer["subscribe_url"]))
        sending = asyncio.create_task(send(http, answer["publish_url"], clip()))
        await until(lambda: len(viewer.pictures) > 60)
        assert await client.start() == answer, "the same question has the same answer"
        await client.stop()
        await wait_streams(run, http, 0)
        sending.cancel()
        await asyncio.gather(sending, watching, return_exceptions=True)
        numbers = [read_counter(rgb(picture)) for picture in viewer.pictures]
        assert numbers == sorted({n for n in numbers if n is not None})
        await until(lambda: "frame_ms" in json.loads(orch.only().body["metadata"]))
        assert json.loads(orch.only().body["metadata"])["frame_ms"]["size"] == "512x512"
        again = await Client.reserve(http, orch, orch.only())
        assert len((await again.stream(await again.start())).pictures) > 30
    assert SECRET not in "\n".join(run.lines)
    assert entry.secret not in "\n".join(run.lines)


async def test_a_session_ends_with_its_stream_so_that_nobody_pays_for_nothing(
    http: aiohttp.ClientSession,
) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        entry = await ready_entry(orch)
        client = await Client.reserve(http, orch, entry)
        await client.stream(await client.start(), seconds=1)
        await until(lambda: not entry.sessions)
        assert [seen.path for seen in orch.seen if seen.path.endswith("/stop")] == [
            f"/runner/{entry.id}/session/{client.session_id}/stop"
        ]
        await wait_streams(run, http, 0)


async def test_events_and_control_go_through_the_orchestrators_channels(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch, pipeline="effects"):
        client = await Client.reserve(http, orch, await ready_entry(orch))
        answer = await client.start(params={**SIZE, "effect": "neon"})
        async with JsonSubscriber(Subscriber(http, answer["events_url"], start=0)) as events:
            first = await asyncio.wait_for(anext(events), 10)
        assert first["event"]["type"] == "runner_receive_stream_request"
        async with http.post(f"{answer['control_url']}/0", json={**SIZE, "effect": "cartoon"}) as posted:
            assert posted.status == 200
        path = f"/streams/{answer['request_id']}"
        async with asyncio.timeout(10):
            while (await client.call("GET", path))[1]["params"]["effect"] != "cartoon":
                await asyncio.sleep(0.05)
        status, applied = await client.call("PATCH", f"{path}/params", {"effect": "neon"})
        assert (status, applied["params"]["effect"]) == (200, "neon")
        status, _ = await client.call("PATCH", f"{path}/params", {"effect": "no such effect"})
        assert status == 400
        await client.stop()


async def test_an_orchestrator_that_restarts_drops_the_session_and_gets_the_runner_back(
    http: aiohttp.ClientSession,
) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        entry = await ready_entry(orch)
        client = await Client.reserve(http, orch, entry)
        answer = await client.start()
        sending = asyncio.create_task(send(http, answer["publish_url"], clip()))
        await asyncio.sleep(1)
        await orch.restart()
        await asyncio.gather(sending, return_exceptions=True)
        await until(lambda: entry.id in orch.entries, 20)
        await wait_streams(run, http, 0)
        client = await Client.reserve(http, orch, await ready_entry(orch))
        assert len((await client.stream(await client.start())).pictures) > 30


async def test_sigterm_leaves_the_orchestrator_and_kill_9_is_noticed_by_it(
    http: aiohttp.ClientSession,
) -> None:
    async with Orchestrator.running() as orch:
        async with registered_runner(orch) as run:
            entry = await ready_entry(orch)
            await (await Client.reserve(http, orch, entry)).start()
            run.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(run.process.wait(), 5)
        assert orch.unregistered == [entry.id]
        assert run.process.returncode == 0
        stops = [seen for seen in orch.seen if seen.path.endswith("/stop")]
        assert stops == [], "the orchestrator had released the session by itself"
        async with registered_runner(orch) as run:
            await ready_entry(orch)
            run.process.kill()
            await asyncio.wait_for(run.process.wait(), 5)
            await until(lambda: not orch.entries)


async def test_a_hanging_orchestrator_does_not_hold_up_the_end() -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        await ready_entry(orch)
        orch.mode = "slow"
        run.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(run.process.wait(), 5)
        assert run.process.returncode == 0


async def test_a_worker_that_others_use_is_not_offered(http: aiohttp.ClientSession) -> None:
    async with (
        Orchestrator.running() as first,
        Orchestrator.running() as second,
        registered_runner(first, "--orchestrator", second.url, "--workers", "noop=2") as run,
    ):
        await until(lambda: len(first.entries) == len(second.entries) == 1)
        await until(lambda: first.only().body["capacity"] == second.only().body["capacity"] == 2)
        await start(run, http)
        await until(lambda: first.only().capacity == second.only().capacity == 1)
        await until(lambda: first.only().ready and second.only().ready)
        client = await Client.reserve(http, first, first.only())
        await until(lambda: second.only().body["status"] == "busy", 5)
        assert first.only().ready, "a runner that is not ready has its sessions' requests refused"
        await client.start()
        status, refused = await run.call(
            http,
            "POST",
            "/live-video-to-video",
            {"subscribe_url": f"{run.url}/ai/trickle/b", "publish_url": f"{run.url}/ai/trickle/b-out"},
        )
        assert status == 500
        assert "insufficient capacity" in refused["detail"]["msg"]
        await client.stop()
        await until(lambda: second.only().ready)
        await wait_streams(run, http, 1)  # its last events are still on their way


async def test_draining_keeps_the_session_and_takes_no_other(http: aiohttp.ClientSession) -> None:
    arguments = ("--workers", "noop=2", "--drain-timeout", "20")
    async with Orchestrator.running() as orch, registered_runner(orch, *arguments) as run:
        entry = await ready_entry(orch)
        await until(lambda: entry.capacity == 2)
        client = await Client.reserve(http, orch, entry)
        watching = asyncio.create_task(client.stream(await client.start(), seconds=4))
        await asyncio.sleep(1)
        run.process.send_signal(signal.SIGTERM)
        await until(lambda: entry.capacity == 1)
        assert entry.ready
        viewer = await watching
        assert len(viewer.pictures) > 100
        await asyncio.wait_for(run.process.wait(), 10)
        assert orch.unregistered == [entry.id]
