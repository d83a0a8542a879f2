"""A live stream between a worker and a web page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .browser_ends import BrowserResult, BrowserSink, BrowserSource
from .pool import Seat
from .runner import StreamRequest
from .stream import Stream

BROWSER_URL = "browser:"
"""Stands in a `StreamRequest` where other streams have an address."""


class BrowserStream:
    """Joins the two ends. Whoever carries the messages calls `source.put` and `sink.acknowledged`.

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
        self.source = BrowserSource(on_taken)
        self.sink = BrowserSink(send, self._output_failed)
        self.stream = Stream(id, seat.name, seat.supervisor, self.source, self.sink, request.params)
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
