"""Upstream's trickle clients (runner/live/trickle/trickle_*.py) over those of ai-runner-base.

Certificates are not checked, as upstream's do not, because orchestrators sign their own; a warning says so.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from typing import Any

from ai_runner_base.errors import PeerError
from ai_runner_base.trickle import (
    ClientOptions,
    Publisher,
    SegmentReader,
    Subscriber,
    TlsPolicy,
    client_session,
)
from ai_runner_base.trickle import SegmentWriter as NativeWriter

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 32 * 1024


class Segment:
    """One segment being read; the next one's `TrickleSubscriber.next` lets go of it."""

    def __init__(self, segment: SegmentReader) -> None:
        self._seq = segment.seq
        self._chunks = aiter(segment)
        self._rest = b""

    def seq(self) -> int:
        """Sequence number."""
        return self._seq

    def eos(self) -> bool:
        """Whether the channel has ended; `TrickleSubscriber.next` gives None instead."""
        return False

    async def read(self, chunk_size: int = _CHUNK_BYTES) -> bytes:
        """Some bytes, at most so many; none at the segment's end."""
        if not self._rest:
            self._rest = await anext(self._chunks, b"")
        chunk, self._rest = self._rest[:chunk_size], self._rest[chunk_size:]
        return chunk

    async def close(self) -> None:
        """Forget what has not been read."""
        self._rest = b""


class TrickleSubscriber:
    """Reads a channel. Made on the event loop; use ``async with``, or call `close`.

    :param url: the channel's
    :param start_seq: first segment; -2: the one being written, -1: the next one
    :param max_retries: attempts after a failed one, half a second apart
    """

    def __init__(self, url: str, start_seq: int = -2, max_retries: int = 5) -> None:
        self.base_url = url
        self.errored = False
        self.session = client_session()
        options = ClientOptions(tls=TlsPolicy.insecure(), retries=max_retries)
        self._subscriber = Subscriber(self.session, url, start_seq, options=options)

    async def __aenter__(self) -> TrickleSubscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next(self) -> Segment | None:
        """The next segment, once its first byte is there; None when the channel has ended or is out of reach."""
        try:
            return Segment(await anext(self._subscriber))
        except StopAsyncIteration:
            pass
        except PeerError as error:
            _log.error("trickle: %s", error)
        self.errored = True
        return None

    async def close(self) -> None:
        """Stop reading. May be called again."""
        await self._subscriber.aclose()
        await self.session.close()


class SegmentWriter:
    """One segment being written; it ends with the block, or with `close`."""

    def __init__(self, context: AbstractAsyncContextManager[Any], write: NativeWriter) -> None:
        self._context = context
        self._write = write
        self._closed = False

    async def __aenter__(self) -> SegmentWriter:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, data: bytes) -> None:
        """Add bytes. Those of a segment that has failed are dropped."""
        await self._write(data)

    async def close(self) -> None:
        """End the segment. May be called again."""
        if not self._closed:
            self._closed = True
            await self._context.__aexit__(None, None, None)

    def seq(self) -> int:
        """Sequence number."""
        return self._write.seq


class TricklePublisher:
    """Writes a channel. Made on the event loop; use ``async with``, or call `close`, which ends the channel.

    :param url: the channel's
    :param mime_type: of its segments
    """

    def __init__(self, url: str, mime_type: str) -> None:
        self.url = url
        self.mime_type = mime_type
        self.session = client_session()
        options = ClientOptions(tls=TlsPolicy.insecure())
        self._publisher = Publisher(self.session, url, mime_type, options=options)

    async def __aenter__(self) -> TricklePublisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next(self) -> SegmentWriter:
        """Begin the next segment.

        :raises ai_runner_base.errors.PeerError: the channel has ended or is out of reach; upstream only logs it
        """
        context = self._publisher.segment()
        return SegmentWriter(context, await context.__aenter__())

    async def close(self) -> None:
        """Finish what was written and end the channel. May be called again."""
        if not self.session.closed:
            await self._publisher.aclose(delete=True)
            await self.session.close()
