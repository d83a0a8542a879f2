"""A sender, a viewer and a runner process: the surroundings of a live stream, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt

from ..media import AudioPacket, BytePipe, Decoder, Picture
from ..trickle import ClientOptions, Publisher, Subscriber

START_LIMIT_S = 20.0
STOP_LIMIT_S = 15.0
_PACKET = 188
_PTS_TICKS = 90_000


@dataclass(frozen=True)
class FrameBytes:
    """The MPEG-TS packets from one video frame's first to the one before the next frame's.

    :param pts: in 1/90000 s
    """

    data: bytes
    pts: int
    starts_segment: bool


def split_frames(ts: bytes, video_pid: int = 0x100) -> list[FrameBytes]:
    """Cut a clip (MPEG-TS with tables before each key frame) into frames; audio packets go with the frame before.

    Muxers also repeat the tables between key frames; only a random access point begins a segment.
    """
    frames: list[FrameBytes] = []
    start, pts, tables_at, key = 0, None, None, False
    for at in range(0, len(ts) - _PACKET + 1, _PACKET):
        pid = (ts[at + 1] & 0x1F) << 8 | ts[at + 2]
        unit_start = bool(ts[at + 1] & 0x40)
        if pid == 0 and tables_at is None:
            tables_at = at
        if pid != video_pid or not unit_start:
            continue
        begin = tables_at if tables_at is not None else at
        if pts is not None:
            frames.append(FrameBytes(ts[start:begin], pts, key))
        start, key, tables_at = begin, tables_at is not None and _is_random_access(ts, at), None
        pts = _pts(ts[at : at + _PACKET])
    if pts is not None:
        frames.append(FrameBytes(ts[start:], pts, key))
    return frames


def _is_random_access(ts: bytes, at: int) -> bool:
    return bool(ts[at + 3] & 0x20 and ts[at + 4] and ts[at + 5] & 0x40)


def _pts(packet: bytes) -> int:
    at = 4 + (packet[4] + 1 if packet[3] & 0x20 else 0)
    raw = packet[at + 9 : at + 14]
    return (raw[0] >> 1 & 7) << 30 | raw[1] << 22 | raw[2] >> 1 << 15 | raw[3] << 7 | raw[4] >> 1


async def send(
    http: aiohttp.ClientSession,
    url: str,
    frames: Sequence[FrameBytes],
    *,
    sent_ns: dict[int, int] | None = None,
    speed: float = 1.0,
) -> None:
    """Publish frames in real time, a segment per key frame, and end the channel.

    :param sent_ns: filled with `time.monotonic_ns` at which each frame's bytes were given away, by PTS
    :param speed: 2 sends twice as fast
    """
    writer = Publisher(http, url, "video/mp2t", options=ClientOptions())
    begin_s, first = time.monotonic(), frames[0].pts
    waiting = list(reversed(frames))
    try:
        while waiting:
            async with writer.segment() as write:
                while waiting:
                    frame = waiting.pop()
                    due_s = begin_s + (frame.pts - first) / _PTS_TICKS / speed
                    await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                    if sent_ns is not None:
                        sent_ns[frame.pts] = time.monotonic_ns()
                    await write(frame.data)
                    if waiting and waiting[-1].starts_segment:
                        break
    finally:
        await writer.aclose(delete=True)


def rgb(picture: Picture) -> npt.NDArray[np.uint8]:
    """Return a picture as (H, W, 3) uint8 RGB."""
    return np.asarray(picture.frame.to_ndarray(format="rgb24"), np.uint8)


@dataclass
class Viewer:
    """Reads a channel and decodes it, keeping what was seen."""

    pictures: list[Picture] = field(default_factory=list)
    audio: list[AudioPacket] = field(default_factory=list)
    end: Exception | None = None

    async def watch(self, http: aiohttp.ClientSession, url: str) -> None:
        """Follow the channel to its end."""
        pipe = BytePipe()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def on_end(error: Exception | None) -> None:
            self.end = error
            loop.call_soon_threadsafe(ended.set)

        decoder = Decoder(pipe, on_video=self.pictures.append, on_audio=self.audio.append, on_end=on_end)
        decoder.start()
        reader = Subscriber(http, url, options=ClientOptions(retries=40))
        try:
            async for segment in reader:
                async for chunk in segment:
                    pipe.write(chunk)
        finally:
            pipe.close()
            await reader.aclose()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 5)
            await asyncio.to_thread(decoder.stop)


@dataclass
class RunnerProcess:
    """An ``ai-runner serve`` of its own.

    :param lines: what it wrote to standard error so far
    """

    process: asyncio.subprocess.Process
    url: str
    lines: list[str]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def call(
        self, http: aiohttp.ClientSession, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        """Make a request; return the status and the JSON answer."""
        async with http.request(method, self.url + path, json=body) as answer:
            return answer.status, await answer.json()

    async def wait_health(
        self, http: aiohttp.ClientSession, status: str, limit_s: float = START_LIMIT_S
    ) -> None:
        """Wait until ``/health`` says `status`.

        :raises TimeoutError: it did not in time
        """
        async with asyncio.timeout(limit_s):
            while (await self.call(http, "GET", "/health"))[1]["status"] != status:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def runner(
    *arguments: str,
    prefix: Path = Path(sys.prefix),
    env: Mapping[str, str] | None = None,
    command: str = "serve",
) -> AsyncIterator[RunnerProcess]:
    """Start ``ai-runner serve`` on a free port; at the end stop it as a person would and check that it ended well.

    :param arguments: added to the command line
    :param command: another one that serves
    """
    process = await asyncio.create_subprocess_exec(
        str(prefix / "bin/python"),
        "-m",
        "ai_runner_base",
        command,
        "--port",
        "0",
        *arguments,
        env={**os.environ, **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[str] = []
    reading = asyncio.create_task(_collect(process, lines))
    try:
        yield RunnerProcess(process, await _address(process, lines), lines)
    finally:
        await _stop(process)
        await reading


async def _collect(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    while process.stderr is not None and (line := await process.stderr.readline()):
        lines.append(line.decode(errors="replace").rstrip())


async def _address(process: asyncio.subprocess.Process, lines: list[str]) -> str:
    welcome = ""
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            welcome = (await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)).decode()
    found = re.search(r"http://[\w.:\[\]-]+", welcome)
    if found is None:
        raise RuntimeError(f"the runner did not start: {welcome!r}\n" + "\n".join(lines))
    return found[0]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
