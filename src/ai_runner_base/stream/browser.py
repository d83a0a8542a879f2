"""A live stream between a worker and a web page, which others may watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ._parameters import size_of
from .browser_ends import BrowserSink, BrowserSource
from .jpeg_sender import BrowserResult
from .pool import Seat
from .published import encoder_options
from .runner import StreamRequest
from .stream import Stream

BROWSER_URL = "browser:"
"""Stands in a `StreamRequest` where other streams have an address."""
LEAST_BITRATE_BPS = 3_000_000
BITS_PER_PIXEL = 6
"""For a second of pictures: 5.5 Mbit/s at 720p."""


class BrowserStream:
    """Joins the two ends. Whoever carries the messages calls `source.put` and `sink.jpeg.acknowledged`.

    :param send: called on the event loop with each picture for the page
    :param on_taken: called on the event loop when the page may send another picture
    """

    def __init__(
        self,
        request: StreamRequest,
        id: str,
        seat: Seat,
        send: Callable[[BrowserResult], None],
        on_taken: Callable[[int], None],
    ) -> None:
        self.seat = seat
        info = seat.supervisor.info
        width, height = size_of(request.params, info.default_params if info else {})
        self.bitrate_bps = max(LEAST_BITRATE_BPS, BITS_PER_PIXEL * width * height)
        """Of pictures by WebRTC, each way, at most."""
        self.source = BrowserSource(on_taken)
        self.sink = BrowserSink(send, encoder_options(self.bitrate_bps), self._output_failed)
        output = self.sink.watched.output
        self.stream = Stream(id, seat.name, seat.supervisor, self.source, self.sink, request.params, output)
        self.stream.frames.on_result = self.sink.announce
        self.ended = asyncio.Event()

    def _output_failed(self, message: str) -> None:
        self.stream.note_error(message)
        self.stream.stop(message)

    async def run(self) -> None:
        """Carry the stream until it ends."""
        try:
            await self.stream.run()
        finally:
            self.ended.set()
