"""Peers that cannot be reached, that stop answering, that come back; and requests at the wrong moment."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from tests._support.live import SIZE, clip, start, wait_streams
from tests._support.prefixes import make_prefix
from tests._support.workers import is_alive

from ai_runner_base.testing.live import RunnerProcess, Viewer, runner, send
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.media

KILLED_AFTER_S = 8.0
"""An orchestrator's patience after SIGTERM."""


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


@asynccontextmanager
async def silent_peer() -> AsyncIterator[str]:
    """A server that accepts and never says a word."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def urls(origin: str) -> dict[str, str]:
    names = {"subscribe_url": "in", "publish_url": "out", "events_url": "events", "control_url": "control"}
    return {key: f"{origin}/ai/trickle/{name}" for key, name in names.items()}


async def last_ended(run: RunnerProcess, http: aiohttp.ClientSession) -> dict[str, Any]:
    _, answer = await run.call(http, "GET", "/streams")
    return dict(answer["ended"][-1])


async def test_unreachable_urls_end_the_stream_with_the_reason_and_the_worker_is_free_again(
    http: aiohttp.ClientSession,
) -> None:
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        stream = await start(run, http, **urls(closed_port()))
        await wait_streams(run, http, 0)
        ended = await last_ended(run, http)
        assert ended["id"] == stream
        assert ended["end_reason"].startswith("input failed: cannot read http://127.0.0.1:")
        assert "Cannot connect" in ended["end_reason"]
        assert not [line for line in run.lines if "/ai/trickle/in" in line], "whole names are private"
        viewer = Viewer()
        await start(run, http, "next")
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/next-out"))
        await send(http, f"{run.url}/ai/trickle/next", clip()[:45])
        await asyncio.wait_for(watching, 20)
        await wait_streams(run, http, 0)
        text = await (await http.get(f"{run.url}/metrics")).text()
    assert len(viewer.pictures) > 30
    assert 'ai_runner_streams_ended_total{pipeline="noop",reason="input failed"} 1.0' in text
    assert 'ai_runner_streams_ended_total{pipeline="noop",reason="input ended"} 1.0' in text


async def test_peers_that_do_not_answer_hold_up_neither_the_worker_nor_the_end(
    http: aiohttp.ClientSession,
) -> None:
    async with silent_peer() as origin, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        stream = await start(run, http, **urls(origin))
        deleting = asyncio.create_task(run.call(http, "DELETE", f"/streams/{stream}"))
        async with asyncio.timeout(5):
            while (await run.call(http, "GET", "/pipelines"))[1]["pipelines"][0]["busy"]:
                await asyncio.sleep(0.05)
        await start(run, http, **urls(origin))
        await asyncio.wait_for(deleting, 10)
        begin_s = time.monotonic()
        run.process.terminate()
        await asyncio.wait_for(run.process.wait(), 20)
    assert run.process.returncode == 0
    assert time.monotonic() - begin_s < KILLED_AFTER_S


async def test_a_size_that_no_pipeline_takes_is_refused_and_costs_nothing(
    http: aiohttp.ClientSession,
) -> None:
    async with runner("--pipeline", "noop") as run:
        for width in ("wide", None, 7, 10**9):
            body = {**urls(run.url), "params": {"width": width}}
            status, answer = await run.call(http, "POST", "/live-video-to-video", body)
            assert (status, "width" in answer["detail"]["msg"]) == (400, True), (
                "also while the pipeline loads"
            )
        await run.wait_health(http, "IDLE")
        assert (await run.call(http, "POST", "/live-video-to-video", body))[0] == 400
        await start(run, http)


async def test_requests_during_the_end_are_refused_and_leave_no_worker(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    prefix = make_prefix(tmp_path, ["stubborn"])
    async with runner("--pipeline", "stubborn", "--environments", str(prefix)) as run:
        await run.wait_health(http, "IDLE")
        workers = psutil.Process(run.pid).children(recursive=True)
        run.process.terminate()
        answers = [answer async for answer in post_until_gone(run, http)]
        await asyncio.wait_for(run.process.wait(), 20)
    assert run.process.returncode == 0
    assert 500 in {status for status, _ in answers}
    assert all("insufficient capacity" in text for status, text in answers if status != 200)
    assert not [worker for worker in workers if is_alive(worker.pid)]


async def post_until_gone(run: RunnerProcess, http: aiohttp.ClientSession) -> AsyncIterator[tuple[int, str]]:
    body = {**urls(run.url), "params": SIZE}
    with suppress(aiohttp.ClientError, OSError):
        while True:
            status, answer = await run.call(http, "POST", "/live-video-to-video", body)
            yield status, str(answer)
