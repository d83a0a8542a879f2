"""Outside WebRTC peers for tests: aiortc as it comes, with the test clip and its frame counters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from ai_runner_base.media import ClipOptions, read_counter, write_clip
from ai_runner_base.testing.live import RunnerProcess

WAIT_S = 15.0
FPS = 30


class ClipTrack(MediaStreamTrack):
    """The clip's pictures in real time, over and over."""

    kind = "video"

    def __init__(self, path: Path, seconds: int = 2, size: int = 512) -> None:
        super().__init__()
        write_clip(str(path), seconds, ClipOptions(width=size, height=size, fps=FPS))
        with av.open(str(path)) as container:
            self._frames = [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
        self.counters = [read_counter(frame.to_ndarray(format="rgb24")) for frame in self._frames]
        self.sent = 0
        self._begin_s = 0.0

    async def recv(self) -> av.VideoFrame:
        loop = asyncio.get_running_loop()
        self._begin_s = self._begin_s or loop.time()
        await asyncio.sleep(max(0.0, self._begin_s + self.sent / FPS - loop.time()))
        source = self._frames[self.sent % len(self._frames)]
        frame = av.VideoFrame.from_ndarray(source.to_ndarray(), format="yuv420p")
        frame.pts, frame.time_base = self.sent * 90_000 // FPS, Fraction(1, 90_000)
        self.sent += 1
        return frame


@dataclass
class Connected:
    """A peer after its POST.

    :param location: of its session, as the server named it
    """

    pc: RTCPeerConnection
    location: str
    headers: Any
    frames: list[tuple[float, np.ndarray[Any, Any]]] = field(default_factory=list)

    @property
    def counters(self) -> list[int]:
        """The numbers in the pictures seen so far, of those that could be read."""
        return [number for _, pixels in self.frames if (number := read_counter(pixels)) is not None]


def connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def post_offer(
    http: aiohttp.ClientSession,
    url: str,
    pc: RTCPeerConnection,
    change: Callable[[str], str] = str,
    **kwargs: Any,
) -> Any:
    """Send this peer's offer and take the answer; return status, headers and body."""
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Content-Type": "application/sdp"} | kwargs.pop("headers", {})
    offer = change(pc.localDescription.sdp)
    async with http.post(url, data=offer.encode(), headers=headers, **kwargs) as answer:
        status, text, told = answer.status, await answer.text(), answer.headers.copy()
    if status == 201:
        await pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
    return status, told, text


@contextlib.asynccontextmanager
async def publisher(
    run: RunnerProcess,
    http: aiohttp.ClientSession,
    path: str,
    track: MediaStreamTrack,
    codec: str = "",
    **kwargs: Any,
) -> AsyncIterator[Connected]:
    """Publish a track by WHIP; connected when entered.

    :param codec: offer this one alone
    """
    pc = connection()
    transceiver = pc.addTransceiver(track, direction="sendonly")
    _prefer(transceiver, codec)
    try:
        status, headers, text = await post_offer(http, run.url + path, pc, **kwargs)
        assert status == 201, text
        await wait_connected(pc)
        yield Connected(pc, headers["Location"], headers)
    finally:
        await pc.close()


@contextlib.asynccontextmanager
async def viewer(
    run: RunnerProcess, http: aiohttp.ClientSession, stream: str, codec: str = "", **kwargs: Any
) -> AsyncIterator[Connected]:
    """Play a stream by WHEP; connected when entered, pictures gather in `frames`."""
    pc = connection()
    _prefer(pc.addTransceiver("video", direction="recvonly"), codec)
    tracks: list[MediaStreamTrack] = []
    pc.on("track", tracks.append)
    watching: asyncio.Task[None] | None = None
    try:
        status, headers, text = await post_offer(http, f"{run.url}/whep/{stream}", pc, **kwargs)
        assert status == 201, text
        connected = Connected(pc, headers["Location"], headers)
        watching = asyncio.create_task(_collect(tracks[0], connected))
        await wait_connected(pc)
        yield connected
    finally:
        await pc.close()
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def _prefer(transceiver: Any, codec: str) -> None:
    if codec:
        known = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType in (codec, "video/rtx")])


async def _collect(track: MediaStreamTrack, into: Connected) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            into.frames.append((loop.time(), frame.to_ndarray(format="rgb24")))


async def wait_connected(pc: RTCPeerConnection) -> None:
    await until(lambda: pc.connectionState == "connected")


async def until(condition: Callable[[], bool], limit_s: float = WAIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.02)
