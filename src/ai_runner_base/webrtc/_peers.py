"""The kinds of peers: a publisher, whose frames we decode; a viewer, who gets encoded frames; and both in one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

from . import _prompt, _sdp
from ._connection import Connection
from ._tracks import EncodedSound, EncodedTrack
from ._types import FrameSource, PeerOptions
from ._vp8 import Vp8Source

_FrameT = TypeVar("_FrameT")
Take = Callable[[_FrameT, int], None]
"""Gets a decoded frame and `time.monotonic_ns` of now, on the event loop; must be quick."""


class _Receiving:
    """Takes one track of pictures and one of sound from a connection, from its offer on."""

    def __init__(
        self,
        pc: RTCPeerConnection,
        on_frame: Take[av.VideoFrame],
        on_sound: Take[av.AudioFrame],
        start_bitrate_bps: int,
    ) -> None:
        self._start_bitrate_bps = start_bitrate_bps
        self._takes: dict[str, Take[Any]] = {"video": on_frame, "audio": on_sound}
        self._tasks: list[asyncio.Task[None]] = []
        transceiver = pc.addTransceiver("video", direction="recvonly")
        transceiver.setCodecPreferences(_codecs(RTCRtpReceiver, "video/H264", "video/VP8"))
        _prompt.release_on_marker(transceiver.receiver)
        pc.on("track", self._begin)

    def _begin(self, track: MediaStreamTrack) -> None:
        take = self._takes.pop(track.kind, _ignore)
        self._tasks.append(asyncio.create_task(_pull(track, take), name=f"webrtc {track.kind}"))

    def offered(self, offer: str) -> None:
        """Nothing of it matters here."""

    def negotiated(self, answer: str) -> str:
        return _sdp.with_start_bitrate(answer, self._start_bitrate_bps)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


def _ignore(_frame: Any, _received_ns: int) -> None:
    """Frames of a second track."""


async def _pull(track: MediaStreamTrack, take: Take[Any]) -> None:
    """Keep the track's own queue, which has no bound, empty."""
    try:
        while True:
            take(await track.recv(), time.monotonic_ns())
    except MediaStreamError:
        return


class _Sending:
    """Gives one track of pictures that are encoded already, and one of sound, to a connection.

    :param fallback: the track's source in VP8, for a viewer that knows no H.264
    :param sound: direction of the track of sound
    :param on_rtp_origin: see `Exchange`
    """

    def __init__(
        self,
        pc: RTCPeerConnection,
        track: EncodedTrack,
        fallback: FrameSource,
        sound: str,
        on_rtp_origin: Callable[[int], None] | None,
    ) -> None:
        self._track, self._fallback, self._on_rtp_origin = track, fallback, on_rtp_origin
        self._sound = EncodedSound(track.source, track)
        transceiver = pc.addTransceiver(track, direction="sendonly")
        transceiver.setCodecPreferences(_codecs(RTCRtpSender, "video/H264", "video/VP8"))
        self._transceiver = transceiver
        _prompt.on_key_frame_wanted(transceiver.sender, track.request_key_frame)
        track.on_next = self._learn_origin
        self._pc, self._sound_direction = pc, sound

    def offered(self, offer: str) -> None:
        """Take part in sound where it is offered; the library fails over a track that is not."""
        if _sdp.has_sound(offer):
            transceiver = self._pc.addTransceiver(self._sound, direction=self._sound_direction)
            transceiver.setCodecPreferences(_opus())

    def _learn_origin(self) -> None:
        """Compare the last frame's PTS with its RTP timestamp, now that it is sent."""
        origin = (
            _prompt.rtp_origin(self._transceiver.sender, self._track.sent_pts)
            if self._on_rtp_origin
            else None
        )
        if origin is not None and self._on_rtp_origin is not None:
            self._on_rtp_origin(origin)
            self._on_rtp_origin = None

    def negotiated(self, answer: str) -> str:
        if _sdp.video_codec(answer, self._transceiver.mid or "") == "VP8":
            self._track.source = self._fallback
        return answer

    def stop(self) -> None:
        self._track.stop()
        self._sound.stop()


class _Peer:
    """One connection with what it receives and sends.

    :param on_closed: called once on the event loop with the reason, when the connection has ended
    """

    def __init__(self, options: PeerOptions, silence_s: float, on_closed: Callable[[str], None]) -> None:
        self._connection = Connection(options, silence_s, self._closed)
        self._on_closed = on_closed
        self._parts: list[_Receiving | _Sending] = []

    async def answer(self, offer: str) -> str:
        """Negotiate; see `Connection.answer`."""
        for part in self._parts:
            part.offered(offer)
        answer = await self._connection.answer(offer)
        for part in self._parts:
            answer = part.negotiated(answer)
        return answer

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickle ICE fragment; see `Connection.add_candidates`."""
        await self._connection.add_candidates(fragment)

    async def aclose(self, reason: str = "closed") -> None:
        """End the connection."""
        await self._connection.aclose(reason)

    def _closed(self, reason: str) -> None:
        for part in self._parts:
            part.stop()
        self._on_closed(reason)

    def _receive(
        self, on_frame: Take[av.VideoFrame], on_sound: Take[av.AudioFrame], bitrate_bps: int
    ) -> None:
        self._parts.append(_Receiving(self._connection.pc, on_frame, on_sound, bitrate_bps))

    def _send(
        self,
        source: FrameSource,
        fallback: FrameSource,
        sound: str,
        on_rtp_origin: Callable[[int], None] | None = None,
    ) -> None:
        track = EncodedTrack(source, lambda: self._connection.stop("the stream ended"))
        self._parts.append(_Sending(self._connection.pc, track, fallback, sound, on_rtp_origin))


class Publisher(_Peer):
    """Receives pictures and sound.

    :param start_bitrate_bps: what a browser should begin with
    """

    def __init__(
        self,
        options: PeerOptions,
        on_frame: Take[av.VideoFrame],
        on_closed: Callable[[str], None],
        *,
        on_sound: Take[av.AudioFrame],
        start_bitrate_bps: int,
    ) -> None:
        super().__init__(options, options.publisher_silence_s, on_closed)
        self._receive(on_frame, on_sound, start_bitrate_bps)


class Viewer(_Peer):
    """Sends pictures and sound that are encoded already. Gets its first frame, a key frame, when it can receive.

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
        super().__init__(options, options.viewer_silence_s, on_closed)
        self._send(source, fallback, "sendonly")


class Exchange(_Peer):
    """Publishes and views over one connection. The offer has first what it sends, then what it wants.

    Parameters as those of `Publisher` and `Viewer`.

    :param on_rtp_origin: called on the event loop, once, with the RTP timestamp of a frame with PTS 0, modulo 2**32
    """

    def __init__(
        self,
        options: PeerOptions,
        source: FrameSource,
        on_closed: Callable[[str], None],
        fallback: FrameSource,
        *,
        on_frame: Take[av.VideoFrame],
        on_sound: Take[av.AudioFrame],
        on_rtp_origin: Callable[[int], None],
        start_bitrate_bps: int,
    ) -> None:
        super().__init__(options, options.viewer_silence_s, on_closed)
        self._receive(on_frame, on_sound, start_bitrate_bps)
        self._send(source, fallback, "sendrecv", on_rtp_origin)


def _codecs(side: Any, *mime_types: str) -> list[Any]:
    """Return the library's codecs of these types in this order, and retransmission."""
    known = side.getCapabilities("video").codecs
    return [codec for mime in (*mime_types, "video/rtx") for codec in known if codec.mimeType == mime]


def _opus() -> list[Any]:
    return [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType == "audio/opus"]


class Peers:
    """What `load` returns."""

    Publisher = Publisher
    Viewer = Viewer
    Exchange = Exchange
    Vp8Source = Vp8Source
