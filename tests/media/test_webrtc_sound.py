"""Sound over WebRTC: what is published, and what trickle streams carry, is heard by viewers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest
from tests._support.live import clip, start, wait_streams

from ai_runner_base.testing.live import RunnerProcess, runner, send
from ai_runner_base.trickle import client_session

pytest.importorskip("aiortc", reason="WebRTC is optional")
from aiortc import MediaStreamTrack
from tests._support.webrtc import ClipTrack, connection, post_offer, until, wait_connected

pytestmark = pytest.mark.media

SAMPLES = 960


class ToneTrack(MediaStreamTrack):
    """A tone of 440 Hz in real time."""

    kind = "audio"
    _sent, _begin_s = 0, 0.0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._begin_s = self._begin_s or loop.time()
        await asyncio.sleep(max(0.0, self._begin_s + self._sent / 48_000 - loop.time()))
        at = (self._sent + np.arange(SAMPLES)) / 48_000
        tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None, :], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._sent, Fraction(1, 48_000)
        self._sent += SAMPLES
        return frame


@contextlib.asynccontextmanager
async def _listener(
    run: RunnerProcess, http: aiohttp.ClientSession, stream: str
) -> AsyncIterator[list[float]]:
    """Play a stream with pictures and sound; the loudness of each packet gathers in the list."""
    pc, loudness = connection(), []
    tracks: list[MediaStreamTrack] = []
    pc.on("track", tracks.append)
    for kind in ("video", "audio"):
        pc.addTransceiver(kind, direction="recvonly")
    listening: list[asyncio.Task[None]] = []
    try:
        status, _, text = await post_offer(http, f"{run.url}/whep/{stream}", pc)
        assert status == 201, text
        await wait_connected(pc)

        async def follow(track: MediaStreamTrack) -> None:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.AudioFrame):
                    loudness.append(float(np.abs(frame.to_ndarray().astype(int)).mean()))

        listening += [asyncio.create_task(follow(track)) for track in tracks]
        yield loudness
    finally:
        await pc.close()
        await asyncio.gather(*listening, return_exceptions=True)


async def test_a_trickle_streams_sound_is_heard_by_its_viewers() -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        id = await start(run, http)
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", clip(4) * 8))
        async with _listener(run, http, id) as loudness:
            await until(lambda: len(loudness) > 100)
            assert max(loudness) > 200, "the clip beeps every second"
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_published_sound_comes_out_again(tmp_path: Path) -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        pc = connection()
        pc.addTransceiver(ClipTrack(tmp_path / "clip.mp4"), direction="sendonly")
        pc.addTransceiver(ToneTrack(), direction="sendonly")
        try:
            status, _, text = await post_offer(http, f"{run.url}/whip/noop?stream=cam", pc)
            assert status == 201, text
            await wait_streams(run, http, 1)
            async with _listener(run, http, "cam") as loudness:
                await until(lambda: len(loudness) > 100)
                assert np.median(loudness[50:]) > 2000
        finally:
            await pc.close()
