"""Makes a stream with trickle ends out of a request, and carries its control and event channels beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import aiohttp

from ..media import DecoderOptions, LiveEncoderOptions
from ..trickle import (
    ChannelReader,
    ChannelWriter,
    ClientOptions,
    Publisher,
    Subscriber,
    TrickleServer,
)
from ._side_channels import EventsChannel, follow_control
from .events import TRACE
from .pool import Seat
from .runner import StreamRequest
from .stream import Stream
from .trickle_ends import TrickleSink, TrickleSource

VIDEO_MIME = "video/mp2t"
EVENTS_MIME = "application/json"
EVENTS_LINGER_S = 0.3
"""Between the last event and the end of its channel: a reader that has not asked yet would get a 404 instead."""


OUTPUT_FAILURES, OUTPUT_OUTAGE_S = 5, 10.0
"""So many segments in a row, for so long, may the output's peer miss, while it starts anew; a gateway moves a stream
after thirty seconds (contract 1.9)."""
INPUT_RETRIES = 16
"""Failed requests in a row, half a second apart, before the input's peer is given up: about as long."""


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
    decoder: Callable[[], DecoderOptions] = DecoderOptions
    """Of a stream that begins now."""
    max_fps: float = 0.0
    """Input frames above this rate are dropped by their PTS; 0: none."""
    embedded: TrickleServer | None = None
    embedded_origins: tuple[str, ...] = ()

    def reader(self, url: str) -> ChannelReader:
        """Open a channel for reading, at its current segment."""
        if self.embedded and (name := self._embedded_name(url)):
            self.embedded.create(name, VIDEO_MIME)
            return self.embedded.subscribe(name)
        return Subscriber(self.http, url, options=replace(self.client, retries=INPUT_RETRIES))

    def writer(self, url: str, mime: str = VIDEO_MIME) -> ChannelWriter:
        """Open a channel for writing."""
        if self.embedded and (name := self._embedded_name(url)):
            self.embedded.create(name, mime)
            return self.embedded.publish(name)
        return Publisher(self.http, url, mime, options=self._patient())

    def _patient(self) -> ClientOptions:
        return replace(self.client, failures=OUTPUT_FAILURES, outage_s=OUTPUT_OUTAGE_S)

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
            connector.decoder(),
        )
        sink = TrickleSink(
            connector.writer(request.publish_url),
            options=connector.encoder,
            on_first_bytes=lambda: self._trace("runner_send_first_processed_segment"),
            on_failed=self._output_failed,
        )
        self.stream = Stream(id, seat.name, seat.supervisor, source, sink, request.params, sink.output)
        self.stream.frames.limit_fps(connector.max_fps)

    async def run(self) -> None:
        """Carry the stream and its channels until it ends."""
        async with contextlib.AsyncExitStack() as channels:
            if self._request.events_url:
                self._send_events(channels)
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

    def _send_events(self, channels: contextlib.AsyncExitStack) -> None:
        """Send the stream's events; the channel is ended with the stream, as gateways expect (contract 1.9)."""
        url, faults = self._request.events_url, self.stream.faults
        events = EventsChannel(lambda: self._connector.writer(url, EVENTS_MIME), faults.add)
        channels.push_async_callback(events.aclose)
        channels.push_async_callback(asyncio.sleep, EVENTS_LINGER_S)
        self.stream.events.listen(events.put)

    async def _follow_control(self) -> None:
        url = self._request.control_url
        if url:
            await follow_control(
                lambda: self._connector.reader(url), self.stream.control, self.stream.faults.add
            )
