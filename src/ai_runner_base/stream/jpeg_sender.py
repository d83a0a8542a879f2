"""Sends the newest picture as JPEG whenever the other end has room for one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..media import JpegEncoder
from ..supervisor import Stamps
from ._ends import Pixels
from ._window import Window

log = logging.getLogger(__name__)

STOP_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class BrowserResult:
    """One picture for the page.

    :param jpeg: empty where the picture itself goes another way
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
class SenderCounters:
    """Running totals; read from any thread."""

    sent: int = 0
    sent_bytes: int = 0
    replaced: int = 0
    """A newer picture came before the page was ready for this one."""


@dataclass(slots=True)
class Waiting:
    """A picture to be sent.

    :param stamps: None for a waiting picture, which is not measured
    :param done: called once, as soon as the memory of `pixels` may be used again
    """

    pixels: Pixels
    time_us: int
    seq: int
    stamps: Stamps | None
    done: Callable[[], None]


class JpegSender:
    """Encodes on a thread of its own; one picture waits, and a newer one takes its place.

    :param send: called on the event loop with each picture; `acknowledged` answers it
    :param on_failed: called on the event loop when no more pictures will come
    """

    def __init__(
        self, send: Callable[[BrowserResult], None], on_failed: Callable[[str], None] = lambda _: None
    ) -> None:
        self.counters = SenderCounters()
        self.on_sent: Callable[[Stamps], None] = lambda _: None
        self._send, self._on_failed = send, on_failed
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._window = Window()
        self._waiting: Waiting | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="encode browser")
        self._thread.start()

    def put(self, new: Waiting) -> None:
        """Take a picture; it replaces one that still waits. Any thread."""
        with self._changed:
            replaced, self._waiting = self._waiting, new
            if self._closed:
                replaced, self._waiting = new, None
            self._changed.notify()
        if replaced is not None:
            self.counters.replaced += 1
            replaced.done()

    def acknowledged(self) -> None:
        """Note that the other end has the oldest picture that it had not yet."""
        with self._changed:
            self._window.answered(time.monotonic())
            self._changed.notify()

    async def aclose(self) -> None:
        """Stop; what still waits is left out, as the other end is gone or going."""
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
        return asdict(self.counters) | {"window": self._window.limit, "in_flight": self._window.in_flight}

    # --- on the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        encoder = JpegEncoder()
        try:
            while (waiting := self._next()) is not None:
                self._encode(encoder, waiting)
        except Exception as error:
            log.exception("results cannot be encoded any more")
            self._loop.call_soon_threadsafe(self._on_failed, f"output: {error}")

    def _encode(self, encoder: JpegEncoder, waiting: Waiting) -> None:
        try:
            jpeg = encoder.encode(waiting.pixels)
        finally:
            waiting.done()
        if waiting.stamps is not None:
            self.on_sent(waiting.stamps)
        self.counters.sent += 1
        self.counters.sent_bytes += len(jpeg)
        result = BrowserResult(jpeg, waiting.time_us, waiting.seq, waiting.stamps is None)
        self._loop.call_soon_threadsafe(self._send, result)

    def _next(self) -> Waiting | None:
        with self._changed:
            while not self._closed and (self._waiting is None or not self._window.room):
                self._changed.wait()
            if self._closed:
                return None
            waiting, self._waiting = self._waiting, None
            self._window.sent(time.monotonic())
            return waiting
