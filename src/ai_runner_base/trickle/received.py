"""One segment as it comes over HTTP, taken up again where its connection broke."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from ..errors import PeerError
from .http import FAULTS, Peer, describe

_log = logging.getLogger(__name__)

HEAD_BYTES: Final = 4096
"""How much of a segment is compared when it is read again, to notice that it is another one."""


class Opened:
    """A segment whose first byte, or end, has arrived.

    :param prefix: bytes that were already read from the response
    """

    def __init__(self, response: aiohttp.ClientResponse, seq: int, prefix: bytes = b"") -> None:
        self.response = response
        self.seq = seq
        self.prefix = prefix
        self.first_byte_ns = time.monotonic_ns()


class ReceivedSegment:
    """Bytes of one segment as they come (a `SegmentReader`).

    When the connection breaks, the segment is asked for again and the bytes that were already given out are
    skipped. If what comes then is another segment of the same number (the writer restarted), this one ends
    incomplete, and the other one is the subscriber's next.

    :param reopen: asks for the segment from its start; None when it is not to be had any more
    :param overtaken: tells if the next segment has already started
    """

    def __init__(
        self,
        opened: Opened,
        peer: Peer,
        reopen: Callable[[int], Awaitable[Opened | None]],
        overtaken: Callable[[], bool],
    ) -> None:
        self.seq = opened.seq
        self.first_byte_ns = opened.first_byte_ns
        self.complete = False
        self.size_bytes = 0
        """Bytes given out so far."""
        self.successor: Opened | None = None
        self._response: aiohttp.ClientResponse | None = opened.response
        self._prefix = opened.prefix
        self._head = bytearray()
        self._reopen = reopen
        self._overtaken = overtaken
        self._peer = peer
        self._fruitless = 0

    def __aiter__(self) -> ReceivedSegment:
        return self

    async def __anext__(self) -> bytes:
        """Wait for bytes.

        :raises StopAsyncIteration: the segment is over; `complete` tells if its end was seen
        :raises PeerError: the peer cannot be reached any more
        """
        chunk = await self._next()
        if not chunk:
            self.close()
            raise StopAsyncIteration
        self._fruitless = 0
        self.size_bytes += len(chunk)
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        return chunk

    def close(self) -> None:
        """Let the connection go; idempotent."""
        response, self._response = self._response, None
        if response is not None:
            response.close()  # does nothing to a connection that went back to the pool at the end

    async def _next(self) -> bytes:
        if self._prefix:
            prefix, self._prefix = self._prefix, b""
            return prefix
        while self._response is not None:
            try:
                chunk = await self._receive(self._response)
            except FAULTS as error:
                chunk = await self._resume(error)
                if not chunk:
                    continue
                return chunk
            self.complete = not chunk and self._response is not None
            return chunk
        return b""

    async def _receive(self, response: aiohttp.ClientResponse) -> bytes:
        """Wait for bytes; give up when the writer is silent and has gone on to the next segment.

        :raises TimeoutError: silence for too long
        """
        options, silent_s = self._peer.options, 0.0
        while True:
            try:
                async with asyncio.timeout(options.overtaken_s):
                    return await response.content.readany()
            except TimeoutError:
                silent_s += options.overtaken_s
                if self._overtaken():
                    _log.info("%s/%d was never ended; going on with the next", self._peer.name, self.seq)
                    self.close()
                    return b""
                if silent_s >= options.idle_timeout_s:
                    raise

    async def _resume(self, error: Exception) -> bytes:
        """Connect again and skip what was given out; leaves no response when that is impossible.

        :return: bytes that follow, if some came along
        """
        while True:
            _log.info(
                "%s/%d broke after %d bytes: %s", self._peer.name, self.seq, self.size_bytes, describe(error)
            )
            self.close()
            await self._pause(error)
            opened = await self._reopen(self.seq)
            if opened is None:
                return b""
            try:
                return await self._catch_up(opened.response)
            except FAULTS as another:
                opened.response.close()
                error = another

    async def _catch_up(self, response: aiohttp.ClientResponse) -> bytes:
        """Read what was given out before, and compare its beginning."""
        start, chunk, skipped = bytearray(), b"", 0
        while skipped < self.size_bytes:
            chunk = await self._receive(response)
            if not chunk:  # shorter than before: not ours
                response.close()
                return b""
            skipped += len(chunk)
            if len(start) < len(self._head):
                start += chunk
                if start[: len(self._head)] != self._head[: len(start)]:
                    self.successor = Opened(response, self.seq, bytes(start))
                    return b""
        self._response = response
        return chunk[len(chunk) - (skipped - self.size_bytes) :]

    async def _pause(self, error: Exception) -> None:
        """Wait between attempts that bring nothing new.

        :raises PeerError: there were too many
        """
        options = self._peer.options
        if isinstance(error, TimeoutError):
            self._fruitless = 0  # the writer is silent, the connection works
        self._fruitless += 1
        if self._fruitless > options.retries + 1:
            raise PeerError(
                f"cannot read {self._peer.name}/{self.seq}: it breaks again and again: {describe(error)}"
            )
        if self._fruitless > 1:
            await asyncio.sleep(options.retry_delay_s)
