"""A real clip through a real runner: trickle in, a spawned worker, trickle out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import aiohttp
import psutil
import pytest
from tests._support.live import SIZE, clip, start, wait_streams

from ai_runner_base.media import ClipOptions, encode_ts_clip, read_counter
from ai_runner_base.testing.live import FrameBytes, RunnerProcess, Viewer, rgb, runner, send, split_frames
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.media


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


async def test_every_delivered_frame_is_the_right_one_in_order_with_its_pts_and_audio_in_sync(
    http: aiohttp.ClientSession,
) -> None:
    frames, viewer = clip(), Viewer()
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        await send(http, f"{run.url}/ai/trickle/a", frames)
        await asyncio.wait_for(watching, 20)
        await wait_streams(run, http, 0)
        await run.wait_health(http, "IDLE")
    assert viewer.end is None
    assert len(viewer.pictures) >= 0.95 * len(frames)
    assert round(viewer.pictures[-1].pts * viewer.pictures[-1].time_base * 90_000) == frames[-1].pts
    sent = {frame.pts: number for number, frame in enumerate(frames)}
    seen = [(read_counter(rgb(p)), round(p.pts * p.time_base * 90_000)) for p in viewer.pictures]
    assert [number for number, _ in seen] == sorted({number for number, _ in seen if number is not None})
    assert all(sent[pts] == number for number, pts in seen)
    _assert_audio_in_sync(viewer, frames)


def _assert_audio_in_sync(viewer: Viewer, frames: tuple[FrameBytes, ...]) -> None:
    """Audio passes on the input's timeline: it spans the pictures, without holes, within 40 ms."""
    times = [float(p.pts * p.time_base) for p in viewer.audio]
    assert times, "no audio came through"
    assert max(b - a for a, b in itertools.pairwise(times)) <= 0.040
    first, last = frames[0].pts / 90_000, frames[-1].pts / 90_000
    assert abs(times[0] - first) <= 0.060
    assert abs(times[-1] - last) <= 0.080


async def test_a_killed_worker_is_back_within_the_stream_and_leaves_nothing(
    http: aiohttp.ClientSession,
) -> None:
    frames, viewer = clip(8), Viewer()
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        stream = await start(run, http)
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", frames))
        await asyncio.sleep(2)
        (worker,) = psutil.Process(run.pid).children()
        worker.kill()
        await asyncio.sleep(4)
        _, status = await run.call(http, "GET", f"/streams/{stream}")
        (successor,) = psutil.Process(run.pid).children()
        await sending
        await asyncio.wait_for(watching, 20)
    assert successor.pid != worker.pid
    assert status["report"]["inference_status"]["restart_count"] == 1
    assert any(event["type"] == "restart" for event in status["events"])
    pts = [float(p.pts * p.time_base) for p in viewer.pictures]
    assert pts == sorted(set(pts))
    assert max(b - a for a, b in itertools.pairwise(pts)) < 1.0, "output stopped while the worker was away"
    numbers = {frame.pts: number for number, frame in enumerate(frames)}
    right = [read_counter(rgb(p)) == numbers[round(p.pts * p.time_base * 90_000)] for p in viewer.pictures]
    waiting = [index for index, processed in enumerate(right) if not processed]
    assert waiting, "the waiting picture was never shown"
    assert waiting == list(range(waiting[0], waiting[-1] + 1)), "waiting pictures between processed ones"
    assert len(waiting) < 5 * 30, "transformed frames were not back in time"
    assert all(right[waiting[-1] + 1 :])
    assert len(right) > waiting[-1] + 1, "no processed frame came after the restart"
    assert not psutil.pid_exists(successor.pid), "the worker outlived the runner"


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("text", b"this is not a video " * 2000, "MPEG-TS"),
        ("zero", bytes(200_000), "MPEG-TS"),
        ("truncated", b"".join(f.data for f in clip()[:40])[:-77], ""),
    ],
)
async def test_rubbish_ends_in_an_event_and_the_next_stream_works(
    http: aiohttp.ClientSession, name: str, payload: bytes, words: str
) -> None:
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http, name)
        events = asyncio.create_task(_collect_events(http, f"{run.url}/ai/trickle/{name}-events"))
        await _send_raw(http, f"{run.url}/ai/trickle/{name}", payload)
        await wait_streams(run, http, 0)
        messages = await asyncio.wait_for(events, 10)
        if words:
            assert any(words in m for m in messages), messages
        await _stream_once(run, http, "next")


async def test_a_peer_that_vanishes_frees_the_worker(http: aiohttp.ClientSession) -> None:
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", clip()))
        await asyncio.sleep(1)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await wait_streams(run, http, 0)
        await _stream_once(run, http, "next")


async def test_a_second_stream_is_refused_with_the_words_that_orchestrators_know(
    http: aiohttp.ClientSession,
) -> None:
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        first = await start(run, http)
        status, answer = await run.call(
            http,
            "POST",
            "/live-video-to-video",
            {"subscribe_url": f"{run.url}/ai/trickle/b", "publish_url": f"{run.url}/ai/trickle/b-out"},
        )
        assert status == 500
        assert "insufficient capacity" in answer["detail"]["msg"]
        assert (await run.call(http, "DELETE", f"/streams/{first}"))[0] == 200
        await run.wait_health(http, "IDLE")
        assert (await run.call(http, "GET", f"/streams/{first}"))[0] == 404


async def test_parameters_change_while_it_runs_and_bad_ones_change_nothing(
    http: aiohttp.ClientSession,
) -> None:
    async with runner("--pipeline", "effects") as run:
        await run.wait_health(http, "IDLE")
        stream = await start(run, http, params={**SIZE, "effect": "neon"})
        path = f"/streams/{stream}/params"
        status, answer = await run.call(http, "PATCH", path, {"effect": "cartoon"})
        assert (status, answer["params"]["effect"]) == (200, "cartoon")
        assert (await run.call(http, "PATCH", path, {"effect": "no such effect"}))[0] == 400
        assert (await run.call(http, "PATCH", path, {"width": 640}))[0] == 400
        _, now = await run.call(http, "GET", f"/streams/{stream}")
        assert (now["params"]["effect"], now["params"]["width"]) == ("cartoon", 512)
        bad = {"subscribe_url": f"{run.url}/ai/trickle/b", "publish_url": f"{run.url}/ai/trickle/b-out"}
        await run.call(http, "DELETE", f"/streams/{stream}")
        status, answer = await run.call(
            http, "POST", "/live-video-to-video", {**bad, "params": {"effect": 7}}
        )
        assert status == 400
        assert "effect" in answer["detail"]["msg"]


async def _stream_once(run: RunnerProcess, http: aiohttp.ClientSession, name: str) -> None:
    viewer = Viewer()
    await run.wait_health(http, "IDLE")
    await start(run, http, name)
    watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/{name}-out"))
    await send(http, f"{run.url}/ai/trickle/{name}", clip()[:45])
    await asyncio.wait_for(watching, 20)
    assert len(viewer.pictures) > 30


async def _send_raw(http: aiohttp.ClientSession, url: str, payload: bytes) -> None:
    async with http.post(f"{url}/0", data=payload) as answer:
        assert answer.status == 200
    async with http.delete(url):
        pass


async def _collect_events(http: aiohttp.ClientSession, url: str) -> list[str]:
    from ai_runner_base.trickle import JsonSubscriber, Subscriber

    messages: list[str] = []
    async for body in JsonSubscriber(Subscriber(http, url, start=0)):
        messages.append(str(body["event"].get("message", "")))
    return messages


async def test_a_4k_stream_fits_into_a_512_pipeline(http: aiohttp.ClientSession) -> None:
    frames = split_frames(encode_ts_clip(1, ClipOptions(width=3840, height=2160, fps=10)))
    viewer = Viewer()
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        await send(http, f"{run.url}/ai/trickle/a", frames, speed=0.5)
        await asyncio.wait_for(watching, 30)
    assert viewer.pictures
    assert {(p.width, p.height) for p in viewer.pictures} == {(512, 512)}
