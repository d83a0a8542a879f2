"""A live stream from a publisher's connection, watched by whoever likes: decoded frames in, H.264 for watchers out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import av

from ..media import (
    TICKS_PER_S,
    Cut,
    LiveEncoderOptions,
    MediaInfo,
    Picture,
    VideoEncoderOptions,
    VideoInfo,
)
from ..supervisor import Stamps
from ._encoding import EncodingSink
from ._ends import Feed
from ._newest import NewestSource
from .pool import Seat
from .runner import StreamRequest
from .stream import Stream

PUBLISHED_URL = "whip:"
"""Stands in a `StreamRequest` where other streams have an address."""
_X264_BASELINE = "deblock=0,0:cabac=0:aq-mode=1"
_TIME_BASE = Fraction(1, TICKS_PER_S)


def encoder_options(bitrate_bps: int) -> LiveEncoderOptions:
    """Return how the output of one stream is encoded: baseline, which every WebRTC player must take (RFC 7742).

    x264 writes that profile where nothing goes beyond it, and `profile` would not: what it forbids stays switched on.
    """
    video = VideoEncoderOptions(max_bitrate_bps=bitrate_bps, ffmpeg={"x264-params": _X264_BASELINE})
    return LiveEncoderOptions(video=video)


@dataclass(slots=True)
class SourceCounters:
    """Running totals; read from any thread."""

    received: int = 0
    replaced: int = 0
    """A newer frame came before this one was taken."""
    failed: int = 0


class PublishedSource(NewestSource[tuple[av.VideoFrame, int]]):
    """Gives the newest frame that a connection has decoded, and its sound."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = SourceCounters()
        self._size = (0, 0)

    def put(self, frame: av.VideoFrame, received_ns: int) -> None:
        """Take a frame; it replaces one that still waits. On the event loop."""
        self.counters.received += 1
        self.counters.replaced += self._keep_newest((frame, received_ns)) is not None

    def status(self) -> dict[str, Any]:
        """Return counters and the size of what comes."""
        return {"kind": "webrtc", "width": self._size[0], "height": self._size[1], **asdict(self.counters)}

    def _give(self, feed: Feed, item: tuple[av.VideoFrame, int]) -> None:
        frame, received_ns = item
        if frame.pts is None:
            self.counters.failed += 1
            return
        if self._size == (0, 0):
            feed.on_info(MediaInfo("webrtc", VideoInfo("", frame.width, frame.height), None))
        self._size = frame.width, frame.height
        time_base = frame.time_base or _TIME_BASE
        self._clock.picture(frame.pts * time_base, received_ns)
        feed.on_video(Picture(frame, frame.pts, time_base, frame.key_frame, received_ns, time.monotonic_ns()))


class WatchedSink(EncodingSink):
    """Encodes once for all who watch, and for nobody else."""

    async def aclose(self) -> None:
        """Encode what waits, then tell the watchers."""
        await self._close_encoder()

    def status(self) -> dict[str, Any]:
        """Return counters of the encoder, and how many watch."""
        return {"kind": "watched", **self._encoder_status()}

    def _on_bytes(self, data: bytes, cut: Cut | None, stamps: Stamps | None) -> None:
        if stamps is not None:
            self._on_sent(stamps)


class PublishedStream:
    """Joins a publisher's connection and its watchers. Whoever has the connection calls `source.put`.

    :param leave: closes the connection when the stream has ended, with the reason
    """

    def __init__(
        self,
        request: StreamRequest,
        id: str,
        seat: Seat,
        options: LiveEncoderOptions,
        leave: Callable[[str], Awaitable[None]],
    ) -> None:
        self.source = PublishedSource()
        sink = WatchedSink(options, self._output_failed)
        self.stream = Stream(id, seat.name, seat.supervisor, self.source, sink, request.params, sink.output)
        self._leave = leave

    def _output_failed(self, message: str) -> None:
        self.stream.note_error(message)
        self.stream.stop(message)

    async def run(self) -> None:
        """Carry the stream until it ends."""
        try:
            await self.stream.run()
        finally:
            await self._leave(self.stream.end_reason)
