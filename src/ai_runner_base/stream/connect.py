"""Makes a stream with trickle ends out of a request, and carries its control and event channels beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

import aiohttp

from ..errors import RunnerError
from ..media import LiveEncoderOptions
from ..trickle import (
    ChannelReader,
    ChannelWriter,
    ClientOptions,
    JsonPublisher,
    JsonSubscriber,
    Publisher,
    Subscriber,
    TrickleServer,
)
from .events import TRACE
from .pool import Seat
from .runner import StreamRequest
from .stream import Stream
from .trickle_ends import TrickleSink, TrickleSource

log = logging.getLogger(__name__)

VIDEO_MIME = "video/mp2t"
EVENTS_MIME = "application/json"
EVENTS_LINGER_S = 0.3
"""Between the last event and the end of its channel: a reader that has not asked yet would get a 404 instead."""


@dataclass(frozen=True)
class Connector:
    """Opens channels for requests.

    :param http: for channels of other servers
    :param embedded: our own trickle server, whose channels are reached without HTTP
    :param embedded_origins: ``http://host:port`` of that server, as callers may write it
    """

    http: aiohttp.ClientSession
    client: ClientOptions = field(default_factory=ClientOptions)
    encoder: LiveEncoderOptions = field(default_factory=LiveEncoderOptions)
    max_fps: float = 0.0
    """Input frames above this rate are dropped by their PTS; 0: none."""
    embedded: TrickleServer | None = None
    embedded_origins: tuple[str, ...] = ()

    def reader(self, url: str) -> ChannelReader:
        """Open a channel for reading, at its current segment."""
        if self.embedded and (name := self._embedded_name(url)):
            self.embedded.create(name, VIDEO_MIME)
            return self.embedded.subscribe(name)
        return Subscriber(self.http, url, options=self.client)

    def writer(self, url: str, mime: str = VIDEO_MIME) -> ChannelWriter:
        """Open a channel for writing."""
        if self.embedded and (name := self._embedded_name(url)):
            self.embedded.create(name, mime)
            return self.embedded.publish(name)
        return Publisher(self.http, url, mime, options=self.client)

    def _embedded_name(self, url: str) -> str:
        for origin in self.embedded_origins:
            prefix = f"{origin}/ai/trickle/"
            if url.startswith(prefix):
                return url.removeprefix(prefix).strip("/")
        return ""

    def connect(self, request: StreamRequest, id: str, seat: Seat) -> LiveStream:
        """Make the stream; nothing is opened before it runs, but the channels of our own server."""
        return LiveStream(self, request, id, seat)


class LiveStream:
    """A stream between trickle channels, with its control and events channels."""

    def __init__(self, connector: Connector, request: StreamRequest, id: str, seat: Seat) -> None:
        self._connector, self._request = connector, request
        source = TrickleSource(
            connector.reader(request.subscribe_url),
            lambda: self._trace("runner_receive_first_ingest_segment"),
        )
        sink = TrickleSink(
            connector.writer(request.publish_url),
            options=connector.encoder,
            on_first_bytes=lambda: self._trace("runner_send_first_processed_segment"),
            on_failed=self._output_failed,
        )
        self.stream = Stream(id, seat.name, seat.supervisor, source, sink, request.params)
        self.stream.frames.limit_fps(connector.max_fps)

    async def run(self) -> None:
        """Carry the stream and its channels until it ends."""
        async with contextlib.AsyncExitStack() as channels:
            if self._request.events_url:
                await self._send_events(channels)
            self._trace("runner_receive_stream_request")
            control = asyncio.create_task(self._follow_control(), name="control")
            try:
                await self.stream.run()
            finally:
                control.cancel()
                await asyncio.gather(control, return_exceptions=True)

    def _trace(self, kind: str) -> None:
        self.stream.events.emit(kind, TRACE)

    def _output_failed(self, message: str) -> None:
        self.stream.note_error(message)
        self.stream.stop(message)

    async def _send_events(self, channels: contextlib.AsyncExitStack) -> None:
        """Send the stream's events; the channel is ended with the stream, as gateways expect (contract 1.9)."""
        publisher = JsonPublisher(self._connector.writer(self._request.events_url, EVENTS_MIME))
        channels.push_async_callback(publisher.aclose, delete=True)
        channels.push_async_callback(asyncio.sleep, EVENTS_LINGER_S)
        self.stream.events.listen(publisher.put)

    async def _follow_control(self) -> None:
        if not self._request.control_url:
            return
        try:
            async with JsonSubscriber(
                self._connector.reader(self._request.control_url), latest=True
            ) as messages:
                async for params in messages:
                    await self.stream.control(params)
        except RunnerError as error:
            log.warning("control channel: %s", error)
