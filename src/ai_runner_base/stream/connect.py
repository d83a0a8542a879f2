"""Makes a stream with trickle ends out of a request, and carries its control and event channels beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

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
from .events import TRACE, now_ms
from .pool import Seat
from .runner import StreamRequest
from .stream import Stream
from .trickle_ends import TrickleSink, TrickleSource

log = logging.getLogger(__name__)

EVENTS_CLOSE_LIMIT_S = 3.0
VIDEO_MIME = "video/mp2t"


@dataclass(frozen=True)
class Connector:
    """Opens channels for requests.

    :param http: for channels of other servers
    :param embedded: our own trickle server, whose channels are reached without HTTP
    :param embedded_origins: ``http://host:port`` of that server, as callers may write it
    """

    http: aiohttp.ClientSession
    client: ClientOptions = ClientOptions()
    encoder: LiveEncoderOptions = LiveEncoderOptions()
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
        self._request = request
        self._events = self._json_publisher(connector, request.events_url)
        self._control = self._json_subscriber(connector, request.control_url)
        source = TrickleSource(
            connector.reader(request.subscribe_url), lambda: self._trace("runner_receive_first_ingest_segment")
        )
        sink = TrickleSink(
            connector.writer(request.publish_url),
            options=connector.encoder,
            on_first_bytes=lambda: self._trace("runner_send_first_processed_segment"),
            on_failed=self._output_failed,
        )
        self.stream = Stream(id, seat.name, seat.supervisor, source, sink, request.params)
        if self._events is not None:
            self.stream.events.listen(self._events.send)
        self.stream.events.emit("runner_receive_stream_request", TRACE, timestamp=now_ms())

    def _json_publisher(self, connector: Connector, url: str) -> JsonPublisher | None:
        return JsonPublisher(connector.writer(url, "application/json")) if url else None

    def _json_subscriber(self, connector: Connector, url: str) -> JsonSubscriber | None:
        return JsonSubscriber(connector.reader(url)) if url else None

    def _trace(self, kind: str) -> None:
        self.stream.events.emit(kind, TRACE)

    def _output_failed(self, message: str) -> None:
        self.stream.note_error(message)
        self.stream.stop(message)

    async def run(self) -> None:
        """Carry the stream and its channels until it ends."""
        control = asyncio.create_task(self._follow_control(), name="control")
        try:
            await self.stream.run()
        finally:
            control.cancel()
            await asyncio.gather(control, return_exceptions=True)
            await self._close_channels()

    async def _follow_control(self) -> None:
        if self._control is None:
            return
        try:
            async for params in self._control:
                await self._apply(params)
        except RunnerError as error:
            log.warning("control channel: %s", error)

    async def _apply(self, params: Any) -> None:
        if isinstance(params, dict):
            await self.stream.control(params)
        else:
            self.stream.note_error(f"parameters not applied: a JSON object was expected, got {type(params).__name__}")

    async def _close_channels(self) -> None:
        for channel in (self._control, self._events):
            if channel is not None:
                with contextlib.suppress(TimeoutError, RunnerError):
                    await asyncio.wait_for(channel.aclose(), EVENTS_CLOSE_LIMIT_S)
