"""A live stream from a publisher's connection, watched by whoever likes: decoded frames in, H.264 for watchers out."""

from __future__ import annotations

import asyncio
import logging
import threading
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
from .output import Output
from .pool import Seat
from .runner import StreamRequest
from .stream import Stream

log = logging.getLogger(__name__)

PUBLISHED_URL = "whip:"
"""Stands in a `StreamRequest` where other streams have an address."""
STOP_LIMIT_S = 2.0
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


class PublishedSource:
    """Gives the newest frame that a connection has decoded, on a thread of its own."""

    def __init__(self) -> None:
        self.counters = SourceCounters()
        self._changed = threading.Condition()
        self._waiting: tuple[av.VideoFrame, int] | None = None
        self._closed = False
        self._size = (0, 0)
        self._thread: threading.Thread | None = None

    def put(self, frame: av.VideoFrame, received_ns: int) -> None:
        """Take a frame; it replaces one that still waits. On the event loop."""
        self.counters.received += 1
        with self._changed:
            self.counters.replaced += self._waiting is not None
            self._waiting = frame, received_ns
            self._changed.notify()

    def start(self, feed: Feed) -> None:
        """Begin to give frames."""
        self._thread = threading.Thread(target=self._run, args=(feed,), name="take published")
        self._thread.start()

    async def aclose(self) -> None:
        """Stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_LIMIT_S)

    def status(self) -> dict[str, Any]:
        """Return counters and the size of what comes."""
        return {"kind": "webrtc", "width": self._size[0], "height": self._size[1], **asdict(self.counters)}

    def _run(self, feed: Feed) -> None:
        failure: Exception | None = None
        try:
            while (waiting := self._next()) is not None:
                self._give(feed, *waiting)
        except Exception as error:
            log.exception("the publisher's frames cannot be taken any more")
            failure = error
        feed.on_end(failure)

    def _next(self) -> tuple[av.VideoFrame, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closed)
            waiting, self._waiting = self._waiting, None
            return None if self._closed else waiting

    def _give(self, feed: Feed, frame: av.VideoFrame, received_ns: int) -> None:
        if frame.pts is None:
            self.counters.failed += 1
            return
        if self._size == (0, 0):
            feed.on_info(MediaInfo("webrtc", VideoInfo("", frame.width, frame.height), None))
        self._size = frame.width, frame.height
        time_base = frame.time_base or _TIME_BASE
        feed.on_video(Picture(frame, frame.pts, time_base, frame.key_frame, received_ns, time.monotonic_ns()))


class WatchedSink(EncodingSink):
    """Encodes once for all who watch.

    :param on_failed: called on the event loop when there will be no more output
    """

    def __init__(self, options: LiveEncoderOptions, on_failed: Callable[[str], None]) -> None:
        self.output = Output(self.request_key_frame)
        super().__init__(options, on_failed, self.output.take_frame)

    async def aclose(self) -> None:
        """Encode what waits, then tell the watchers."""
        await self._close_encoder()
        self._loop.call_soon(self.output.close)

    def status(self) -> dict[str, Any]:
        """Return counters of the encoder, and how many watch."""
        return {"kind": "watched", "watchers": self.output.watchers, **self._encoder_status()}

    def _on_bytes(self, data: bytes, cut: Cut | None, stamps: Stamps | None) -> None:
        self.output.take_bytes(data, cut)
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
