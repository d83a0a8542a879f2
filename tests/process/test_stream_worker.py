"""A stream and its worker: whose parameters hold, what a dead or useless worker costs. Real workers, plain ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests._support.prefixes import make_prefix
from tests._support.workers import spec_of

from ai_runner_base.errors import CallerError
from ai_runner_base.media import AudioPacket, MediaInfo, Picture
from ai_runner_base.stream import Stream, StreamState, state
from ai_runner_base.stream._ends import Feed
from ai_runner_base.supervisor import (
    Stamps,
    Supervisor,
    SupervisorOptions,
    WorkerEvent,
    WorkerFailed,
    WorkerState,
)

pytestmark = pytest.mark.process

SIDE = 64
SIZE = {"width": SIDE, "height": SIDE}
PERIOD_S = 0.02


class Camera:
    """A source of grey pictures, 50 a second."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self, feed: Feed) -> None:
        self._task = asyncio.create_task(self._film(feed))

    async def _film(self, feed: Feed) -> None:
        frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), 90, np.uint8), format="rgb24")
        for number in range(10**6):
            now_ns = time.monotonic_ns()
            feed.on_video(Picture(frame, number * 20, Fraction(1, 1000), True, now_ns, now_ns))
            await asyncio.sleep(PERIOD_S)

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def status(self) -> dict[str, Any]:
        return {}


class Screen:
    """A sink that remembers one pixel of each processed picture."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.waiting = 0

    def start(self, on_sent: Callable[[Stamps], None]) -> None:
        """Nothing to prepare."""

    def begin(self, width: int, height: int, info: MediaInfo) -> None:
        """Nothing to open."""

    def submit(
        self, pixels: Any, pts: int, time_base: Fraction, stamps: Any, done: Callable[[], None]
    ) -> None:
        if stamps is None:
            self.waiting += 1
        else:
            self.seen.append(int(pixels[0, 0, 0]))
        done()

    def submit_audio(self, packet: AudioPacket) -> None:
        """There is none."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def status(self) -> dict[str, Any]:
        return {}


class Studio:
    """A supervisor whose events go to the stream of the moment."""

    def __init__(self, prefix: Path, name: str, limits: dict[str, float]) -> None:
        self.name, self.stream, self.screen = name, None, Screen()
        options = SupervisorOptions(backoff_first_s=0.01, params_probation_s=60, **limits)
        self.supervisor = Supervisor(spec_of(prefix, name), options, on_event=self._pass_on)

    def _pass_on(self, event: WorkerEvent) -> None:
        if self.stream is not None:
            self.stream.on_worker_event(event)

    @asynccontextmanager
    async def streaming(self, **params: Any) -> AsyncIterator[Stream]:
        self.screen = Screen()
        self.stream = Stream("s", self.name, self.supervisor, Camera(), self.screen, {**SIZE, **params})
        await self.stream.prepare()
        running = asyncio.create_task(self.stream.run())
        try:
            yield self.stream
        finally:
            self.stream.stop("the test is over")
            await asyncio.wait_for(running, 10)

    async def until(self, condition: Callable[[], Any], limit_s: float = 15) -> None:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def studio(tmp_path: Path, name: str, **limits: float) -> AsyncIterator[Studio]:
    made = Studio(make_prefix(tmp_path, [name]), name, limits)
    try:
        await made.supervisor.start()
        await made.supervisor.wait_ready(20)
        yield made
    finally:
        await made.supervisor.aclose()


async def test_no_picture_gets_the_parameters_of_the_stream_before(tmp_path: Path) -> None:
    async with studio(tmp_path, "reloads") as made:
        await made.supervisor.update_params({**SIZE, "model": "m" * 200})
        assert made.supervisor.state is WorkerState.RELOADING
        async with made.streaming(model="one"):
            await made.until(lambda: len(made.screen.seen) > 10)
    assert set(made.screen.seen) == {3}
    assert made.screen.waiting > 0


async def test_a_reload_that_fails_brings_back_the_parameters_that_were_good(tmp_path: Path) -> None:
    async with studio(tmp_path, "reloads") as made, made.streaming(model="four") as stream:
        await made.until(lambda: made.screen.seen)
        await stream.patch_params({"model": "bad"})
        await made.until(lambda: stream.fault_counts().get("worker_restart"))
        made.screen.seen.clear()
        await made.until(lambda: len(made.screen.seen) > 10)
        assert stream.params["model"] == "four"
        assert set(made.screen.seen) == {4}


async def test_first_parameters_that_kill_end_the_stream_and_the_worker_lives(tmp_path: Path) -> None:
    async with studio(tmp_path, "calamities") as made:
        async with made.streaming(act="poison") as stream:
            await made.until(lambda: stream.end_reason)
            assert stream.end_reason == "parameters kill the worker"
            assert stream.fault_counts()["params_taken_back"] == 1
        async with made.streaming(gain=1) as stream:
            await made.until(lambda: len(made.screen.seen) > 10)
            assert stream.state is not StreamState.ERROR


async def test_later_parameters_that_kill_are_taken_back_and_the_stream_goes_on(tmp_path: Path) -> None:
    async with studio(tmp_path, "calamities") as made, made.streaming(gain=1) as stream:
        await made.until(lambda: made.screen.seen)
        await asyncio.sleep(2.1)
        await stream.patch_params({"act": "poison"})
        await made.until(lambda: stream.fault_counts().get("params_taken_back"))
        made.screen.seen.clear()
        await made.until(lambda: len(made.screen.seen) > 10)
        assert (stream.params["act"], stream.params["gain"]) == ("", 1)
        stream.events.tick()
        told = [event.get("message", "") for event in stream.events.recent]
        assert any("taken back" in message for message in told), told


async def test_a_worker_from_which_nothing_comes_is_replaced_within_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FIRST_OUTPUT_LIMIT_S", 1.0)
    monkeypatch.setattr(state, "OUTPUT_STALL_S", 1.0)
    async with studio(tmp_path, "calamities") as made, made.streaming() as stream:
        await made.until(lambda: made.screen.seen)
        await stream.patch_params({"act": "leak", "strike": 1})
        await made.until(lambda: stream.fault_counts().get("worker_restart"))
        made.screen.seen.clear()
        await made.until(lambda: len(made.screen.seen) > 10)
        assert not stream.end_reason
        reasons = [event["reason"] for event in stream.events.recent if event["type"] == "restart"]
    assert any("no output" in reason for reason in reasons)


async def test_a_worker_from_which_nothing_comes_is_replaced_while_parameters_keep_changing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FIRST_OUTPUT_LIMIT_S", 2.0)
    async with studio(tmp_path, "calamities") as made, made.streaming() as stream:
        await made.until(lambda: made.screen.seen)
        await stream.patch_params({"act": "leak", "strike": 1})
        async with asyncio.timeout(15):
            for gain in range(1, 10**6):
                if stream.fault_counts().get("worker_restart"):
                    break
                with suppress(WorkerFailed):
                    await stream.patch_params({"gain": gain})
                await asyncio.sleep(0.2)
        made.screen.seen.clear()
        await made.until(lambda: len(made.screen.seen) > 10)
        assert not stream.end_reason


async def test_a_worker_that_hangs_is_replaced_at_the_frame_limit_not_a_ping_later(tmp_path: Path) -> None:
    limits = {"frame_timeout_s": 3.0, "ping_interval_s": 2.9}
    async with studio(tmp_path, "calamities", **limits) as made, made.streaming() as stream:
        await made.until(lambda: made.screen.seen)
        life = made.supervisor._life
        begin_s = life._last_pong_s
        await made.until(lambda: life._last_pong_s != begin_s)
        begin_s = life._last_pong_s
        await stream.patch_params({"act": "hang", "strike": 1})
        await made.until(lambda: made.supervisor.state is not WorkerState.READY)
        hung_s = time.monotonic() - begin_s
        await made.until(lambda: stream.fault_counts().get("worker_restart"))
        made.screen.seen.clear()
        await made.until(lambda: len(made.screen.seen) > 10)
        reasons = [event["reason"] for event in stream.events.recent if event["type"] == "restart"]
    assert reasons == ["'calamities': one frame has taken more than 3 s"]
    assert hung_s < 4.5, "the first ping that would find it beyond its limit is the one after 5.8 s"


async def test_each_complaint_of_a_pipeline_is_told_once(tmp_path: Path) -> None:
    async with studio(tmp_path, "calamities") as made, made.streaming() as stream:
        await made.until(lambda: made.screen.seen)
        await stream.patch_params({"act": "raise", "strike": 1})
        await made.until(lambda: stream.fault_counts().get("pipeline_error"))
        await asyncio.sleep(2.2)
        told = [event for event in stream.events.recent if event["type"] == "error"]
    assert len(told) == 1
    assert "not to my taste" in told[0]["message"]


async def test_a_refused_stream_lets_go_of_its_worker(tmp_path: Path) -> None:
    async with studio(tmp_path, "calamities") as made:
        for params in ({"act": "nonsense"}, {"width": "wide"}):
            with pytest.raises(CallerError):
                async with made.streaming(**params):
                    pytest.fail("it must not begin")
        async with made.streaming():
            await made.until(lambda: made.screen.seen)
