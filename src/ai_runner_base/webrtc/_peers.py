"""The two kinds of peers: a publisher, whose frames we decode, and a viewer, who gets frames encoded once for all."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

from . import _prompt, _sdp
from ._connection import Connection
from ._types import Coded, FrameSource, PeerOptions
from ._vp8 import Vp8Source

RTP_TIME_BASE = Fraction(1, 90_000)
QUEUE_FRAMES = 30
"""What may wait for a viewer's connection; beyond it, it goes on at the next key frame."""


class Publisher:
    """Receives video. Sound is taken and thrown away, as nothing behind it takes any.

    :param on_frame: called on the event loop with each decoded frame and `time.monotonic_ns` of now; must be quick
    :param start_bitrate_bps: what a browser should begin with
    """

    def __init__(
        self,
        options: PeerOptions,
        on_frame: Callable[[av.VideoFrame, int], None],
        on_closed: Callable[[str], None],
        *,
        start_bitrate_bps: int,
    ) -> None:
        self._on_frame, self._on_closed = on_frame, on_closed
        self._start_bitrate_bps = start_bitrate_bps
        self._tasks: list[asyncio.Task[None]] = []
        self._taken = False
        self._connection = Connection(options, options.publisher_silence_s, self._closed)
        pc = self._connection.pc
        transceiver = pc.addTransceiver("video", direction="recvonly")
        transceiver.setCodecPreferences(_codecs(RTCRtpReceiver, "video/H264", "video/VP8"))
        self.is_prompt = _prompt.release_on_marker(transceiver.receiver)
        pc.on("track", self._begin)

    async def answer(self, offer: str) -> str:
        """Negotiate; see `Connection.answer`."""
        answer = await self._connection.answer(offer)
        return _sdp.with_start_bitrate(answer, self._start_bitrate_bps)

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickle ICE fragment; see `Connection.add_candidates`."""
        await self._connection.add_candidates(fragment)

    async def aclose(self, reason: str = "closed") -> None:
        """End the connection."""
        await self._connection.aclose(reason)

    def _begin(self, track: MediaStreamTrack) -> None:
        is_picture = track.kind == "video" and not self._taken
        self._taken = self._taken or is_picture
        take = self._on_frame if is_picture else _ignore
        self._tasks.append(asyncio.create_task(_pull(track, take), name=f"webrtc {track.kind}"))

    def _closed(self, reason: str) -> None:
        for task in self._tasks:
            task.cancel()
        self._on_closed(reason)


def _ignore(_frame: Any, _received_ns: int) -> None:
    """Sound, and pictures of a second track."""


async def _pull(track: MediaStreamTrack, take: Callable[[Any, int], None]) -> None:
    """Keep the track's own queue, which has no bound, empty."""
    try:
        while True:
            take(await track.recv(), time.monotonic_ns())
    except MediaStreamError:
        return


class Viewer:
    """Sends video that is encoded already. Gets its first frame, a key frame, when it can receive.

    :param source: subscribed to from connection to end; of H.264
    :param fallback: the same in VP8, for a viewer that knows no H.264
    """

    def __init__(
        self,
        options: PeerOptions,
        source: FrameSource,
        on_closed: Callable[[str], None],
        fallback: FrameSource,
    ) -> None:
        self._fallback = fallback
        self._connection = Connection(options, options.viewer_silence_s, self._closed)
        self._on_closed = on_closed
        self._track = EncodedTrack(source, lambda: self._connection.stop("the stream ended"))
        transceiver = self._connection.pc.addTransceiver(self._track, direction="sendonly")
        transceiver.setCodecPreferences(_codecs(RTCRtpSender, "video/H264", "video/VP8"))
        _prompt.on_key_frame_wanted(transceiver.sender, self._track.request_key_frame)

    async def answer(self, offer: str) -> str:
        """Negotiate; see `Connection.answer`."""
        answer = await self._connection.answer(offer)
        if _sdp.video_codec(answer) == "VP8":
            self._track.source = self._fallback
        return answer

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickle ICE fragment; see `Connection.add_candidates`."""
        await self._connection.add_candidates(fragment)

    async def aclose(self, reason: str = "closed") -> None:
        """End the connection."""
        await self._connection.aclose(reason)

    def _closed(self, reason: str) -> None:
        self._track.stop()
        self._on_closed(reason)


class EncodedTrack(MediaStreamTrack):
    """Frames for one viewer, from a key frame on. The library packs packets without encoding them again."""

    kind = "video"

    def __init__(self, source: FrameSource, on_end: Callable[[], None]) -> None:
        super().__init__()
        self.source, self._on_end = source, on_end
        self._unsubscribe: Callable[[], None] | None = None
        self._waiting: deque[Coded] = deque()
        self._changed = asyncio.Event()
        self._in_step = False
        self.skipped = 0

    async def recv(self) -> Any:
        """Wait for the next frame and return it as `av.Packet`. The first call comes once the viewer is connected."""
        if self._unsubscribe is None and self.readyState == "live":
            self._unsubscribe = self.source.subscribe(self._put)
            self.source.request_key_frame()
        while not self._waiting:
            if self.readyState != "live":
                raise MediaStreamError
            self._changed.clear()
            await self._changed.wait()
        coded = self._waiting.popleft()
        packet = av.Packet(coded.data)
        packet.pts, packet.time_base = coded.pts, RTP_TIME_BASE
        return packet

    def stop(self) -> None:
        """End the subscription."""
        super().stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._changed.set()

    def request_key_frame(self) -> None:
        """Ask for a key frame in the codec that this viewer gets."""
        self.source.request_key_frame()

    def _put(self, coded: Coded | None) -> None:
        if coded is None:
            self._on_end()
            return
        if len(self._waiting) >= QUEUE_FRAMES:
            self.skipped += len(self._waiting)
            self._waiting.clear()
            self._in_step = False
            self.source.request_key_frame()
        self._in_step = self._in_step or coded.key_frame
        if self._in_step:
            self._waiting.append(coded)
            self._changed.set()
        else:
            self.skipped += 1


def _codecs(side: Any, *mime_types: str) -> list[Any]:
    """Return the library's codecs of these types in this order, and retransmission."""
    known = side.getCapabilities("video").codecs
    return [codec for mime in (*mime_types, "video/rtx") for codec in known if codec.mimeType == mime]


class Peers:
    """What `load` returns."""

    Publisher = Publisher
    Vp8Source = Vp8Source
    Viewer = Viewer
