"""Reading and writing a channel of a server in this process: the same rules, no HTTP between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from ..errors import PeerError
from .answers import Step, follow
from .channel import Channel, Channels, Missing, Write
from .cursor import Cursor, SegmentLostError
from .protocol import BEHIND_DELAY_S, CURRENT, NEXT, OVERTAKEN_S, short_name
from .segment import Segment


class LocalSegment:
    """A segment of a channel in this process (a `SegmentReader`)."""

    def __init__(self, cursor: Cursor, first: bytes) -> None:
        self.seq = cursor.segment.seq
        self.first_byte_ns = time.monotonic_ns()
        self.complete = not first
        self._cursor = cursor
        self._first = first

    def __aiter__(self) -> LocalSegment:
        return self

    async def __anext__(self) -> bytes:
        chunk, self._first = self._first, b""
        if not chunk and not self.complete:
            chunk = await self._read()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def _read(self) -> bytes:
        """Wait for bytes; give up when the writer is silent and another one has gone on."""
        cursor = self._cursor
        while True:
            try:
                async with asyncio.timeout(OVERTAKEN_S):
                    chunk = await cursor.read()
            except SegmentLostError:
                return b""
            except TimeoutError:
                if cursor.channel.next_write > self.seq + 1:
                    return b""
                continue
            self.complete = not chunk
            return chunk


class LocalSubscriber:
    """Segments of a channel in this process (a `ChannelReader`).

    :param start: a sequence number, `NEXT` or `CURRENT`
    """

    retried: Final = 0
    """Nothing lies between that could fail."""

    def __init__(self, channel: Channel | None, start: int = CURRENT) -> None:
        self._channel = channel
        self._seq = start
        self._cursor: Cursor | None = None

    def __aiter__(self) -> LocalSubscriber:
        return self

    async def __anext__(self) -> LocalSegment:
        """Wait for the first byte of the next segment; the previous one is let go.

        :raises StopAsyncIteration: the channel ended or never existed
        """
        self._release()
        while self._channel is not None:
            found = self._channel.read(self._seq)
            if not isinstance(found, Segment):
                if self._channel.closed:
                    break
                await self._follow(found)
                continue
            segment = await self._open(self._channel, found)
            if segment is not None:
                return segment
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Let the segment go; idempotent."""
        self._release()
        self._channel = None

    async def _follow(self, missing: Missing) -> None:
        decision = follow(missing.latest, missing.seq)
        if decision.step is Step.WAIT:
            await asyncio.sleep(BEHIND_DELAY_S)
        self._seq = decision.seq

    async def _open(self, channel: Channel, found: Segment) -> LocalSegment | None:
        """Wait for the first byte; None sends the caller to look again, at the live edge."""
        cursor = Cursor(channel, found)
        self._cursor = cursor.__enter__()
        try:
            first = await cursor.read()
        except SegmentLostError:
            self._release()
            self._seq = CURRENT
            return None
        if not first and channel.closed:
            return None
        self._seq = found.seq + 1
        return LocalSegment(cursor, first)

    def _release(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.__exit__()


class LocalWrite:
    """Writes one segment of a channel in this process (a `SegmentWriter`)."""

    def __init__(self, write: Write, clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._taken = True

    @property
    def seq(self) -> int:
        """Sequence number of the segment."""
        return self._write.seq

    async def __call__(self, data: bytes) -> bool:
        """Append bytes; False when the segment is full or the channel ended."""
        if not data:
            return True
        self._taken = not self._write.channel.closed and self._write.append(bytes(data), self._clock())
        return self._taken

    async def delivered(self) -> bool:
        """Return at once whether the last bytes were taken."""
        return self._taken


class LocalPublisher:
    """Writes segments of a channel in this process (a `ChannelWriter`)."""

    segments_failed: Final = 0
    segments_late: Final = 0
    """Nothing lies between that could fail, or take time."""

    def __init__(self, channels: Channels, channel: Channel, clock: Callable[[], float]) -> None:
        self._channels = channels
        self._channel = channel
        self._clock = clock

    @asynccontextmanager
    async def segment(self) -> AsyncIterator[LocalWrite]:
        """Begin the next segment; it ends with the block.

        :raises PeerError: the channel has ended
        """
        if self._channel.closed:
            raise PeerError(f"trickle channel {short_name(self._channel.name)} has ended")
        write = self._channel.write(NEXT)
        try:
            yield LocalWrite(write, self._clock)
        finally:
            write.finish(self._clock())

    async def aclose(self, *, delete: bool = False) -> None:
        """End the channel if asked; nothing else needs closing."""
        if delete and not self._channel.closed:
            self._channels.close(self._channel.name)
