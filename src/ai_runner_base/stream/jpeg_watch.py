"""A stream's output as JPEG for one viewer that has no other way: decoded again, and the newest picture wins."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec.context import CodecContext

from ..media import TICKS_PER_S, CodedFrame, Fitter
from ..supervisor import Stamps
from .jpeg_sender import STOP_LIMIT_S, BrowserResult, JpegSender, Waiting
from .output import Output

log = logging.getLogger(__name__)

QUEUE_FRAMES = 8
_MEASURED_BY_NOBODY = Stamps()


class JpegWatch:
    """Follows an output from a key frame on, until it is closed or the output ends.

    :param send: called on the event loop with each picture; `sender.acknowledged` answers it
    :param on_end: called on the event loop when the output has ended
    """

    def __init__(
        self, output: Output, send: Callable[[BrowserResult], None], on_end: Callable[[], None]
    ) -> None:
        self.sender = JpegSender(send)
        self._output, self._on_end = output, on_end
        self._waiting: queue.Queue[CodedFrame | None] = queue.Queue()
        self._in_step = False
        self._unsubscribe: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="decode watched")

    def start(self) -> None:
        """Begin."""
        self.sender.start()
        self._thread.start()
        self.use_jpeg(True)

    def use_jpeg(self, wanted: bool) -> None:
        """Say whether the viewer wants JPEG just now."""
        if wanted and self._unsubscribe is None:
            self._in_step = False
            self._unsubscribe = self._output.subscribe(self._take)
            self._output.request_key_frame()
        elif not wanted and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _take(self, coded: CodedFrame | None) -> None:
        if coded is None:
            self._on_end()
            return
        full = self._waiting.qsize() >= QUEUE_FRAMES
        if full and self._in_step:
            self._output.request_key_frame()
        self._in_step = not full and (self._in_step or coded.key_frame)
        if self._in_step:
            self._waiting.put(coded)

    async def aclose(self) -> None:
        """Stop."""
        self.use_jpeg(False)
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join, STOP_LIMIT_S)
        await self.sender.aclose()

    # --- on the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        decoder: Any = CodecContext.create("h264", "r")
        decoder.thread_count = 1
        decoder.options = {"flags": "low_delay"}
        fitter: Fitter | None = None
        while (coded := self._waiting.get()) is not None:
            try:
                frames = decoder.decode(av.Packet(coded.data))
            except av.FFmpegError as error:
                log.warning("a frame for a viewer could not be decoded: %s", error)
                continue
            for frame in frames:
                if fitter is None or (fitter.width, fitter.height) != (frame.width, frame.height):
                    fitter = Fitter(frame.width, frame.height)
                self._show(fitter, frame, coded.pts)

    def _show(self, fitter: Fitter, frame: av.VideoFrame, pts: int) -> None:
        pixels = np.empty((fitter.height, fitter.width, 3), np.uint8)
        fitter.into(frame, pixels)
        time_us = round(Fraction(pts * 1_000_000, TICKS_PER_S))
        self.sender.put(Waiting(pixels, time_us, 0, _MEASURED_BY_NOBODY, lambda: None))
