"""A browser as the two ends of a stream: JPEG pictures in, JPEG pictures out, over any carrier of messages.

Newest wins on both sides, and nothing here can grow: one picture waits to be decoded, one waits to be encoded,
and a `Window` keeps what is on the wire from becoming a queue. Times are the page's own clock in microseconds; a
result comes back with its input's time, so that the page can measure the whole way with one clock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from ..errors import RunnerError
from ..media import AudioPacket, JpegDecoder, JpegEncoder, MediaInfo, Picture, VideoInfo
from ..supervisor import Stamps, WorkerOutput
from ._ends import Feed, Pixels
from ._window import Window

log = logging.getLogger(__name__)

STOP_LIMIT_S = 2.0
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
    """Not a JPEG, damaged, or too large."""


class BrowserSource:
    """Decodes the newest picture that a page has sent.

    :param on_taken: called on the event loop with a picture's time once it waits no longer: another may come
    """

    def __init__(self, on_taken: Callable[[int], None] = lambda _: None) -> None:
        self.counters = SourceCounters()
        self._on_taken = on_taken
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._waiting: tuple[bytes, int, int] | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._last_us = -1
        self._complaint = ""

    def start(self, feed: Feed) -> None:
        """Begin decoding on a thread of its own."""
        self._thread = threading.Thread(target=self._run, args=(feed,), name="decode browser")
        self._thread.start()

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
        with self._changed:
            replaced, self._waiting = self._waiting, (jpeg, time_us, time.monotonic_ns())
            self._changed.notify()
        if replaced is not None:
            self.counters.replaced += 1
            self._on_taken(replaced[1])

    async def aclose(self) -> None:
        """Stop decoding; the end of the source is not the end of the stream."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_LIMIT_S)

    def status(self) -> dict[str, Any]:
        """Return counters, and why the last bad picture was bad."""
        return {"kind": "browser", **asdict(self.counters), "last_complaint": self._complaint}

    # --- on the thread --------------------------------------------------------------------------------------

    def _run(self, feed: Feed) -> None:
        decoder = JpegDecoder()
        failure: Exception | None = None
        try:
            while (waiting := self._next()) is not None:
                self._decode(decoder, feed, *waiting)
                self._loop.call_soon_threadsafe(self._on_taken, waiting[1])
        except Exception as error:
            log.exception("the browser's pictures cannot be taken any more")
            failure = error
        feed.on_end(failure)

    def _next(self) -> tuple[bytes, int, int] | None:
        with self._changed:
            while self._waiting is None and not self._closed:
                self._changed.wait()
            waiting, self._waiting = self._waiting, None
            return None if self._closed else waiting

    def _decode(self, decoder: JpegDecoder, feed: Feed, jpeg: bytes, time_us: int, received_ns: int) -> None:
        try:
            frame = decoder.decode(jpeg)
        except RunnerError as error:
            self.counters.invalid += 1
            self._complaint = str(error)
            return
        if not self.counters.decoded:
            feed.on_info(MediaInfo("browser", VideoInfo("mjpeg", frame.width, frame.height), None))
        self.counters.decoded += 1
        now_ns = time.monotonic_ns()
        feed.on_video(Picture(frame, time_us, MICROSECONDS, True, received_ns, now_ns))


@dataclass(frozen=True, slots=True)
class BrowserResult:
    """One picture for the page.

    :param time_us: of the input picture that it was made from, on the page's clock
    :param seq: the frame's number (`WorkerOutput.seq`); 0 when unknown
    :param is_waiting_picture: shown because no worker was there, or made by the pipeline while it loads: its age
        says nothing about the pipeline
    """

    jpeg: bytes
    time_us: int
    seq: int
    is_waiting_picture: bool


@dataclass(slots=True)
class SinkCounters:
    """Running totals; read from any thread."""

    sent: int = 0
    sent_bytes: int = 0
    replaced: int = 0
    """A newer picture came before the page was ready for this one."""


class _Announced(NamedTuple):
    time_us: int
    seq: int
    is_loading_frame: bool


@dataclass(slots=True)
class _Waiting:
    pixels: Pixels
    time_us: int
    seq: int
    stamps: Stamps | None
    done: Callable[[], None]


class BrowserSink:
    """Encodes the newest picture whenever the page has room for one.

    :param send: called on the event loop with each picture; `acknowledged` answers it
    :param on_failed: called on the event loop when no more pictures will come
    """

    def __init__(
        self, send: Callable[[BrowserResult], None], on_failed: Callable[[str], None] = lambda _: None
    ) -> None:
        self.counters = SinkCounters()
        self._send, self._on_failed = send, on_failed
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._window = Window()
        self._waiting: _Waiting | None = None
        self._closed = False
        self._announced = _Announced(0, 0, False)
        self._on_sent: Callable[[Stamps], None] = lambda _: None
        self._thread: threading.Thread | None = None

    # --- the stream's side ----------------------------------------------------------------------------------

    def start(self, on_sent: Callable[[Stamps], None]) -> None:
        """Begin encoding on a thread of its own."""
        self._on_sent = on_sent
        self._thread = threading.Thread(target=self._run, name="encode browser")
        self._thread.start()

    def begin(self, width: int, height: int, info: MediaInfo) -> None:
        """Do nothing: each JPEG tells its own size."""

    def announce(self, output: WorkerOutput) -> None:
        """Learn about the result that is submitted next. On the event loop."""
        time_us = _microseconds(output.pts, output.time_base)
        self._announced = _Announced(time_us, output.seq, output.is_loading_frame)

    def submit(
        self, pixels: Pixels, pts: int, time_base: Fraction, stamps: Stamps | None, done: Callable[[], None]
    ) -> None:
        """Take a picture; it replaces one that still waits."""
        time_us, known = _microseconds(pts, time_base), self._announced
        seq, is_loading = (known.seq, known.is_loading_frame) if known.time_us == time_us else (0, False)
        new = _Waiting(pixels, time_us, seq, None if is_loading else stamps, done)
        with self._changed:
            replaced, self._waiting = self._waiting, new
            if self._closed:
                replaced, self._waiting = new, None
            self._changed.notify()
        if replaced is not None:
            self.counters.replaced += 1
            replaced.done()

    def submit_audio(self, packet: AudioPacket) -> None:
        """Leave audio out: the page plays none."""

    async def aclose(self) -> None:
        """Stop; what still waits is left out, as the page is gone or going."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, None
            self._changed.notify()
        if waiting is not None:
            waiting.done()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_LIMIT_S)

    def status(self) -> dict[str, Any]:
        """Return counters and how much may be on the wire."""
        window = {"window": self._window.limit, "in_flight": self._window.in_flight}
        return {"kind": "browser", **asdict(self.counters), **window}

    # --- the page's side, on the event loop -----------------------------------------------------------------

    def acknowledged(self) -> None:
        """Note that the page has the oldest picture that it had not yet."""
        with self._changed:
            self._window.answered(time.monotonic())
            self._changed.notify()

    # --- on the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        encoder = JpegEncoder()
        try:
            while (waiting := self._next()) is not None:
                self._encode(encoder, waiting)
        except Exception as error:
            log.exception("results cannot be encoded any more")
            self._loop.call_soon_threadsafe(self._on_failed, f"output: {error}")

    def _encode(self, encoder: JpegEncoder, waiting: _Waiting) -> None:
        try:
            jpeg = encoder.encode(waiting.pixels)
        finally:
            waiting.done()
        if waiting.stamps is not None:
            self._on_sent(waiting.stamps)
        self.counters.sent += 1
        self.counters.sent_bytes += len(jpeg)
        result = BrowserResult(jpeg, waiting.time_us, waiting.seq, waiting.stamps is None)
        self._loop.call_soon_threadsafe(self._send, result)

    def _next(self) -> _Waiting | None:
        with self._changed:
            while not self._closed and (self._waiting is None or not self._window.room):
                self._changed.wait()
            if self._closed:
                return None
            waiting, self._waiting = self._waiting, None
            self._window.sent(time.monotonic())
            return waiting


def _microseconds(pts: int, time_base: Fraction) -> int:
    return pts if time_base == MICROSECONDS else round(pts * time_base / MICROSECONDS)
