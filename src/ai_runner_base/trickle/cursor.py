"""A reader's place in a segment: waits on the event loop for what the state machine announces."""

from __future__ import annotations

import asyncio
from typing import Final

from ..errors import PeerError
from .channel import Channel
from .segment import Segment, SegmentState

JOIN_LIMIT_BYTES: Final = 256 * 1024
"""A reader that lags gets what it missed joined up to this size; one that keeps up gets chunks uncopied."""


class SegmentLostError(PeerError):
    """The reader was too slow: the rest of the segment was given up to keep memory bounded."""


class Cursor:
    """Reads one segment from its start. Use as a context manager; one waiting `read` at a time.

    :param channel: the channel of ``segment``
    """

    def __init__(self, channel: Channel, segment: Segment) -> None:
        self.channel = channel
        self.segment = segment
        self._index = 0
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Cursor:
        self.channel.attach(self.segment, self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.detach(self.segment, self._wake)

    async def read(self) -> bytes:
        """Wait for bytes.

        :return: bytes; empty at the end of the segment
        :raises SegmentLostError: the bytes that come next are no longer kept
        """
        while True:
            data, self._index = self.segment.read(self._index, JOIN_LIMIT_BYTES)
            if data:
                return data
            if self.segment.state is SegmentState.GONE:
                if self._index or self.segment.size_bytes:
                    raise SegmentLostError(
                        f"trickle segment {self.channel.name}/{self.segment.seq} was overrun"
                    )
                return b""
            if self.segment.ended:
                return b""
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
