"""HTTP handlers of the trickle server: one request each, status codes and headers as go-livepeer's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from ..errors import CallerError
from .channel import Channel, Channels, Missing, Write
from .cursor import Cursor, SegmentLostError
from .intake import BODY_FAULTS, first_bytes, linger
from .protocol import (
    CLOSED_VALUE,
    CURRENT,
    DEFAULT_MIME,
    HEADER_CLOSED,
    HEADER_CREATE_MIME,
    HEADER_LATEST,
    HEADER_RESET,
    HEADER_SEQ,
    NEXT,
    NEXT_PART,
    STATUS_NO_SEGMENT,
    parse_seq,
)

NO_CHANNEL: Final = "Stream not found"
BAD_SEQ: Final = "Invalid idx"
NO_SEGMENT: Final = "Nonexistent segment"
NO_ENTRY: Final = "Entry not found"


@dataclass(frozen=True)
class ServerOptions:
    """Clocks of the server, in seconds, and who may create channels.

    :param autocreate: a POST creates the channel that it names (orchestrators keep it off)
    :param continue_interval_s: how often a POST without a byte is told that it is still wanted
    :param sweep_interval_s: how often idle channels are looked for
    :param idle_timeout_s: a channel in which no segment started for longer is closed
    :param body_idle_timeout_s: silence in the middle of a POST's body after which it counts as broken
    :param reader_stall_timeout_s: a reader that takes nothing for so long is cut off
    :param departure_check_s: how often a waiting reader is checked for having left
    :param append_grace_s: how long a POST to a segment that has ended may take for its first byte
    :param linger_s: how long a refused body is still read, so that its sender sees the answer
    """

    autocreate: bool = False
    continue_interval_s: float = 10.0
    sweep_interval_s: float = 60.0
    idle_timeout_s: float = 300.0
    body_idle_timeout_s: float = 60.0
    reader_stall_timeout_s: float = 30.0
    departure_check_s: float = 5.0
    append_grace_s: float = 0.25
    linger_s: float = 1.0


class Routes:
    """The handlers, and the POSTs that are under way.

    :param clock: seconds, monotonic; the clock of ``channels``
    """

    def __init__(
        self, channels: Channels, options: ServerOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._channels = channels
        self._options = options
        self._clock = clock
        self._receiving: dict[asyncio.Task[object], web.Request] = {}

    def table(self, base: str) -> list[web.RouteDef]:
        """List the routes; a trailing slash makes no difference."""
        channel = base.rstrip("/") + "/{channel:[^/]+}"
        part = channel + "/{part:[^/]+}"
        return [
            web.post(channel + "{slash:/?}", self.create),
            web.delete(channel + "{slash:/?}", self.delete),
            web.get(channel + f"/{NEXT_PART}" + "{slash:/?}", self.next, allow_head=False),
            web.post(part + "{slash:/?}", self.write),
            web.get(part + "{slash:/?}", self.read, allow_head=False),
            web.delete(part + "{slash:/?}", self.end_segment),
        ]

    async def drain(self) -> None:
        """Wait a moment for bodies that are being received, then cut them off."""
        if self._receiving:
            await asyncio.wait(self._receiving, timeout=self._options.linger_s)
        for request in self._receiving.values():
            if request.transport is not None:
                request.transport.abort()

    # --- small requests ---

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST {channel}."""
        mime = request.headers.get(HEADER_CREATE_MIME, "")
        channel = self._find_or_create(request, mime)
        return channel if isinstance(channel, web.Response) else web.Response()

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE {channel}."""
        closed = self._channels.close(request.match_info["channel"])
        return web.Response() if closed else _text(400, "Invalid stream")

    async def next(self, request: web.Request) -> web.StreamResponse:
        """GET {channel}/next."""
        channel = self._find(request)
        if channel is None:
            return _text(404, NO_CHANNEL)
        latest = str(channel.next_write)
        return web.Response(text=latest, headers={HEADER_LATEST: latest})

    async def end_segment(self, request: web.Request) -> web.StreamResponse:
        """DELETE {channel}/{seq}."""
        channel = self._find(request)
        if channel is None:
            return _text(404, NO_CHANNEL)
        seq = parse_seq(request.match_info["part"])
        if seq is None:
            return _text(400, BAD_SEQ)
        return web.Response() if seq >= 0 and channel.end(seq) else _text(400, NO_SEGMENT)

    # --- writing ---

    async def write(self, request: web.Request) -> web.StreamResponse:
        """POST {channel}/{seq}."""
        channel = self._find_or_create(request, request.headers.get("Content-Type", ""))
        if isinstance(channel, web.Response):
            return await linger(request, channel, self._options.linger_s)
        seq = parse_seq(request.match_info["part"])
        if seq is None or seq < NEXT:
            return await linger(request, _text(400, BAD_SEQ), self._options.linger_s)
        write = channel.write(seq, reset=HEADER_RESET in request.headers)
        task = asyncio.current_task()
        if task is None:  # cannot be: aiohttp runs handlers in tasks
            raise web.HTTPInternalServerError
        self._receiving[task] = request
        try:
            return await self._receive(request, write)
        finally:
            del self._receiving[task]

    async def _receive(self, request: web.Request, write: Write) -> web.StreamResponse:
        options = self._options
        try:
            chunk = await first_bytes(
                request, write, interval_s=options.continue_interval_s, grace_s=options.append_grace_s
            )
            if chunk is None:
                write.finish(self._clock())
                return await linger(request, _written(write, last=True), options.linger_s)
            while chunk:
                if not write.append(chunk, self._clock()):
                    return await linger(request, _text(413, "Segment too large"), options.linger_s)
                async with asyncio.timeout(options.body_idle_timeout_s):
                    chunk = await request.content.readany()
        except BODY_FAULTS:
            write.fail()
            return await linger(request, _text(500, "Server error"), options.linger_s)
        except asyncio.CancelledError:
            write.fail()
            raise
        write.finish(self._clock())
        return _written(write, last=False)

    # --- reading ---

    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET {channel}/{seq}."""
        channel = self._find(request)
        if channel is None:
            return _text(404, NO_CHANNEL)
        seq = parse_seq(request.match_info["part"])
        if seq is None or seq < CURRENT:
            return _text(400, BAD_SEQ)
        found = channel.read(seq)
        if isinstance(found, Missing):
            return _missing(found)
        with Cursor(channel, found) as cursor:
            return await self._send(request, cursor, channel.next_write)

    async def _send(self, request: web.Request, cursor: Cursor, latest: int) -> web.StreamResponse:
        """Send a segment as it grows; headers go out with its first byte."""
        try:
            chunk = await self._next_chunk(request, cursor)
        except SegmentLostError:
            return _missing(Missing(cursor.segment.seq, cursor.channel.next_write))
        if not chunk:
            return _empty(cursor)
        response = web.StreamResponse(headers=_read_headers(cursor, latest))
        try:
            await response.prepare(request)
            while chunk:
                async with asyncio.timeout(self._options.reader_stall_timeout_s):
                    await response.write(chunk)
                chunk = await self._next_chunk(request, cursor)
            await response.write_eof()
        except (SegmentLostError, OSError, TimeoutError):
            # Too slow, or gone. Without the final chunk nobody takes the segment for complete.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _next_chunk(self, request: web.Request, cursor: Cursor) -> bytes:
        """Wait for bytes as long as the reader is there; empty at the end, and when it left."""
        while True:
            try:
                async with asyncio.timeout(self._options.departure_check_s):
                    return await cursor.read()
            except TimeoutError:
                if request.transport is None or request.transport.is_closing():
                    return b""

    # --- channels ---

    def _find(self, request: web.Request) -> Channel | None:
        return self._channels.get(request.match_info["channel"])

    def _find_or_create(self, request: web.Request, mime: str) -> Channel | web.Response:
        channel = self._find(request)
        if channel is not None:
            return channel
        if not self._options.autocreate:
            refusal = _text(404, NO_CHANNEL)
            refusal.force_close()  # wakes publishers that have only pre-connected
            return refusal
        try:
            return self._channels.create(request.match_info["channel"], mime)
        except CallerError as error:
            return _text(503, error.message)


def _text(status: int, text: str) -> web.Response:
    reason = "Segment not available" if status == STATUS_NO_SEGMENT else None
    return web.Response(status=status, reason=reason, text=text + "\n")


def _written(write: Write, *, last: bool) -> web.Response:
    """Answer a POST.

    :param last: it was ended by somebody else, before its first byte; nothing more can come on its connection
    """
    response = web.Response(headers={HEADER_SEQ: str(write.seq)})
    if write.channel.closed:
        response.headers[HEADER_CLOSED] = CLOSED_VALUE
    if last:
        response.force_close()
    return response


def _missing(missing: Missing) -> web.Response:
    response = _text(STATUS_NO_SEGMENT, NO_ENTRY)
    response.headers[HEADER_LATEST] = str(missing.latest)
    response.headers[HEADER_SEQ] = str(missing.seq)
    return response


def _empty(cursor: Cursor) -> web.Response:
    channel = cursor.channel
    response = web.Response(
        headers={HEADER_SEQ: str(cursor.segment.seq), HEADER_LATEST: str(channel.next_write)}
    )
    if channel.closed:
        response.headers[HEADER_CLOSED] = CLOSED_VALUE
    return response


def _read_headers(cursor: Cursor, latest: int) -> dict[str, str]:
    headers = {
        HEADER_SEQ: str(cursor.segment.seq),
        "Content-Type": cursor.channel.mime or DEFAULT_MIME,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if cursor.segment.seq != latest:
        headers[HEADER_LATEST] = str(latest)
    return headers
