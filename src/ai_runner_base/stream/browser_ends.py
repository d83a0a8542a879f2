"""A browser as the two ends of a stream: pictures in, pictures out, as JPEG over any carrier of messages or by WebRTC.

Newest wins on both sides, and nothing here can grow: one picture waits to be decoded, one waits to be encoded,
and a `Window` keeps what is on the wire from becoming a queue. Times are the page's own clock in microseconds; a
result comes back with its input's time, so that the page can measure the whole way with one clock. The page may
change between the two ways at any picture; others watch what is encoded for
WebRTC, which costs nothing while nobody does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av

from ..errors import CallerError, RunnerError
from ..media import (
    EDGE_WRAP,
    AudioPacket,
    JpegDecoder,
    LiveEncoderOptions,
    MediaInfo,
    Picture,
    VideoInfo,
    read_edge_mark,
)
from ..supervisor import Stamps, WorkerOutput
from ._ends import Feed, Pixels
from ._newest import NewestSource
from .jpeg_sender import BrowserResult, JpegSender, Waiting
from .published import WatchedSink

MICROSECONDS = Fraction(1, 1_000_000)


@dataclass(slots=True)
class SourceCounters:
    """Running totals; read from any thread."""

    received: int = 0
    received_bytes: int = 0
    decoded: int = 0
    replaced: int = 0
    """A newer picture came before this one was decoded."""
    out_of_order: int = 0
    invalid: int = 0
    """Not a JPEG, damaged, too large, or without a readable mark."""


class _Coming(NamedTuple):
    """A picture on its way in: a JPEG with its time, or a frame whose mark tells it."""

    data: bytes | av.VideoFrame
    time_us: int
    received_ns: int


class BrowserSource(NewestSource[_Coming]):
    """Takes the newest picture that a page has sent.

    :param on_taken: called on the event loop with a picture's time once it waits no longer; for every JPEG, also for
        one that was replaced, and for every frame whose time could be read
    """

    def __init__(self, on_taken: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self.counters = SourceCounters()
        self._on_taken = on_taken
        self._loop = asyncio.get_running_loop()
        self._decoder = JpegDecoder()
        self._last_us = -1
        self._complaint = ""

    # --- on the event loop ----------------------------------------------------------------------------------

    def put(self, jpeg: bytes, time_us: int) -> None:
        """Take a picture; it replaces one that still waits.

        :param time_us: on the page's clock; must grow
        """
        self.counters.received += 1
        self.counters.received_bytes += len(jpeg)
        if time_us <= self._last_us:
            self.counters.out_of_order += 1
            self._on_taken(time_us)
            return
        self._last_us = time_us
        self._take(_Coming(jpeg, time_us, time.monotonic_ns()))

    def put_frame(self, frame: av.VideoFrame, received_ns: int) -> None:
        """Take a decoded picture, which has margins with the page's time; it replaces one that still waits."""
        self.counters.received += 1
        self._take(_Coming(frame, 0, received_ns))

    def _take(self, new: _Coming) -> None:
        replaced = self._keep_newest(new)
        if replaced is not None:
            self.counters.replaced += 1
            if isinstance(replaced.data, bytes):
                self._on_taken(replaced.time_us)

    def status(self) -> dict[str, Any]:
        """Return counters, and why the last bad picture was bad."""
        return {"kind": "browser", **asdict(self.counters), "last_complaint": self._complaint}

    # --- on the thread --------------------------------------------------------------------------------------

    def _give(self, feed: Feed, item: _Coming) -> None:
        taken_us = item.time_us if isinstance(item.data, bytes) else None
        try:
            decoded = self._decode(item)
        except RunnerError as error:
            self.counters.invalid += 1
            self._complaint = str(error)
        else:
            if decoded is not None:
                taken_us = decoded[1]
                self._show(feed, *decoded, item.received_ns)
        if taken_us is not None:
            self._loop.call_soon_threadsafe(self._on_taken, taken_us)

    def _decode(self, item: _Coming) -> tuple[av.VideoFrame, int] | None:
        """Return a picture and its time; None for one that a browser has sent again."""
        if isinstance(item.data, bytes):
            return self._decoder.decode(item.data), item.time_us
        time_us = self._marked_time(item.data)
        if time_us <= self._last_us:
            self.counters.out_of_order += 1
            return None
        self._last_us = time_us
        return item.data, time_us

    def _show(self, feed: Feed, frame: av.VideoFrame, time_us: int, received_ns: int) -> None:
        if not self.counters.decoded:
            feed.on_info(MediaInfo("browser", VideoInfo("", frame.width, frame.height), None))
        self.counters.decoded += 1
        self._clock.picture(time_us * MICROSECONDS, received_ns)
        feed.on_video(Picture(frame, time_us, MICROSECONDS, True, received_ns, time.monotonic_ns()))

    def _marked_time(self, frame: av.VideoFrame) -> int:
        """Read the page's milliseconds, of which the mark has the lower bits.

        :raises CallerError: they cannot be read
        """
        value_ms = read_edge_mark(frame)
        if value_ms is None:
            raise CallerError(f"a picture of {frame.width}x{frame.height} whose mark cannot be read")
        last_ms, half = max(0, self._last_us // 1000), EDGE_WRAP // 2
        return int(1000 * (last_ms + (value_ms - last_ms + half) % EDGE_WRAP - half))


class _Announced(NamedTuple):
    time_us: int
    seq: int
    is_loading_frame: bool


class BrowserSink:
    """Gives results to the page, as JPEG or as a note beside WebRTC, and to all who watch.

    :param send: called on the event loop with each picture, or with a note about one that `watched` encodes
    :param options: how to encode for `watched`
    :param on_failed: called on the event loop when no more pictures will come
    """

    def __init__(
        self,
        send: Callable[[BrowserResult], None],
        options: LiveEncoderOptions,
        on_failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.jpeg = JpegSender(send, on_failed)
        self.watched = WatchedSink(options, on_failed)
        self._wants_jpeg = True
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._begin: tuple[int, int, MediaInfo] | None = None
        self._announced = _Announced(0, 0, False)

    def start(self, on_sent: Callable[[Stamps], None]) -> None:
        """Begin encoding JPEG on a thread of its own."""
        self.jpeg.on_sent = on_sent
        self.jpeg.start()
        self.watched.start(on_sent)

    def begin(self, width: int, height: int, info: MediaInfo) -> None:
        """Note the size. The encoder for watchers is opened when there is one."""
        self._begin = width, height, info

    def use_jpeg(self, wanted: bool) -> None:
        """Say whether the page wants JPEG; else it watches `watched`, and is told about its pictures only."""
        self._wants_jpeg = wanted

    def announce(self, output: WorkerOutput) -> None:
        """Learn about the result that is submitted next. On the event loop."""
        time_us = _microseconds(output.pts, output.time_base)
        self._announced = _Announced(time_us, output.seq, output.is_loading_frame)

    def submit(
        self, pixels: Pixels, pts: int, time_base: Fraction, stamps: Stamps | None, done: Callable[[], None]
    ) -> None:
        """Take a picture. Towards the page, it replaces one that still waits."""
        time_us, known = _microseconds(pts, time_base), self._announced
        seq, is_loading = (known.seq, known.is_loading_frame) if known.time_us == time_us else (0, False)
        stamps = None if is_loading else stamps
        jpeg, watched = self._wants_jpeg, self._is_watched()
        if not jpeg:
            note = BrowserResult(b"", time_us, seq, stamps is None)
            self._loop.call_soon_threadsafe(self._send, note)
        done = _after(int(jpeg) + int(watched), done)
        if watched:
            self.watched.submit(pixels, pts, time_base, None if jpeg else stamps, done)
        if jpeg:
            self.jpeg.put(Waiting(pixels, time_us, seq, stamps, done))

    def _is_watched(self) -> bool:
        if not self.watched.output.watchers or self._begin is None:
            return False
        self.watched.begin(*self._begin)
        return True

    def submit_audio(self, packet: AudioPacket) -> None:
        """Take one audio packet, for those who watch."""
        if self.watched.output.watchers:
            self.watched.submit_audio(packet)

    async def aclose(self) -> None:
        """Stop; a picture that still waits for the page is left out, as the page is gone or going."""
        await asyncio.gather(self.jpeg.aclose(), self.watched.aclose())

    def status(self) -> dict[str, Any]:
        """Return counters of both ways, and which one the page uses."""
        way = "jpeg" if self._wants_jpeg else "webrtc"
        return {**self.watched.status(), "kind": "browser", "way": way, **self.jpeg.status()}


def _after(count: int, done: Callable[[], None]) -> Callable[[], None]:
    """Return what calls `done` when it has been called `count` times; at once when nobody will call it."""
    if count == 0:
        done()
    if count < 2:
        return done
    lock, left = threading.Lock(), [count]

    def one_more() -> None:
        with lock:
            left[0] -= 1
            is_last = left[0] == 0
        if is_last:
            done()

    return one_more


def _microseconds(pts: int, time_base: Fraction) -> int:
    return pts if time_base == MICROSECONDS else round(pts * time_base / MICROSECONDS)
