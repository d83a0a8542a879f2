"""One JSON object per segment: events going out, control messages coming in."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ..errors import PeerError
from .interface import ChannelReader, ChannelWriter, SegmentReader

_log = logging.getLogger(__name__)

MESSAGE_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""A control message may be long (a whole workflow), but not endless."""
KEEP_ALIVE: Final[Mapping[str, Any]] = {"keep": "alive"}
MIME: Final = "application/json"


class JsonPublisher:
    """Publishes objects, one per segment, without ever making the caller wait.

    Use ``async with``, or call `aclose`. It owns ``writer``.

    :param writer: where to; its mime should be `MIME`
    :param queue_size: objects that may wait; when there are more, the oldest are dropped and counted. 1 keeps
        only the newest
    """

    def __init__(self, writer: ChannelWriter, *, queue_size: int = 64) -> None:
        self.sent = 0
        self.dropped = 0
        self.failed: PeerError | None = None
        self._writer = writer
        self._waiting: deque[bytes] = deque()
        self._queue_size = queue_size
        self._changed = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="trickle-json-publisher")

    async def __aenter__(self) -> JsonPublisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def put(self, message: Mapping[str, Any]) -> bool:
        """Queue an object; returns at once.

        :param message: encoded now, so later changes to it do not matter
        :return: False when the channel has failed or is closed
        :raises TypeError: it is no JSON
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if self.failed is not None or self._closing:
            self.dropped += 1
            return False
        self._waiting.append(data)
        while len(self._waiting) > self._queue_size:
            self._waiting.popleft()
            self.dropped += 1
        self._changed.set()
        return True

    async def aclose(self, *, delete: bool = False, drain_timeout_s: float = 2.0) -> None:
        """Send what waits, within the limit, and close the writer. Idempotent.

        :param delete: also end the channel
        """
        self._closing = True
        self._changed.set()
        await asyncio.wait({self._task}, timeout=drain_timeout_s)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.dropped += len(self._waiting)
        self._waiting.clear()
        await self._writer.aclose(delete=delete)

    async def _run(self) -> None:
        try:
            while True:
                while self._waiting:
                    await self._send(self._waiting.popleft())
                if self._closing:
                    return
                self._changed.clear()
                await self._changed.wait()
        except PeerError as error:
            self.failed = error
            self.dropped += 1 + len(self._waiting)
            self._waiting.clear()

    async def _send(self, data: bytes) -> None:
        async with self._writer.segment() as write:
            accepted = await write(data)
        if accepted:
            self.sent += 1
        else:
            self.dropped += 1


class JsonSubscriber:
    """Objects of a channel, without the keep-alives.

    Use ``async with``. It owns ``reader``. Iteration ends when the channel ends, and raises what the reader
    raises.

    :param latest: hand out only the newest object; those it overtakes are counted as skipped. Otherwise they
        wait, and the channel is not read any further while ``queue_size`` of them do
    """

    def __init__(self, reader: ChannelReader, *, latest: bool = False, queue_size: int = 16) -> None:
        self.skipped = 0
        self.rejected = 0
        """Segments that were no JSON object, too long, or broken off."""
        self._reader = reader
        self._latest = latest
        self._queue_size = 1 if latest else queue_size
        self._waiting: deque[dict[str, Any]] = deque()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="trickle-json-subscriber")

    async def __aenter__(self) -> JsonSubscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> JsonSubscriber:
        return self

    async def __anext__(self) -> dict[str, Any]:
        """Wait for an object.

        :raises StopAsyncIteration: the channel has ended
        :raises PeerError: it cannot be read any more
        """
        while not self._waiting:
            if self._task.done():
                if not self._task.cancelled():
                    self._task.result()
                raise StopAsyncIteration
            await self._change()
        message = self._waiting.popleft()
        self._changed.set()
        return message

    async def aclose(self) -> None:
        """Stop reading; idempotent."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # seen; whoever iterates gets it
        self._changed.set()
        await self._reader.aclose()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self) -> None:
        try:
            async for segment in self._reader:
                message = await self._read(segment)
                if message is not None and message != KEEP_ALIVE:
                    await self._hand_over(message)
        finally:
            self._changed.set()

    async def _hand_over(self, message: dict[str, Any]) -> None:
        if self._latest:
            self.skipped += len(self._waiting)
            self._waiting.clear()
        while len(self._waiting) >= self._queue_size:
            await self._change()
        self._waiting.append(message)
        self._changed.set()

    async def _read(self, segment: SegmentReader) -> dict[str, Any] | None:
        """Read a segment to its end; None when it is empty or not usable."""
        try:
            body = await _whole(segment)
            return _object(body) if body else None
        except (ValueError, RecursionError) as error:
            self.rejected += 1
            _log.warning("trickle message %d was ignored: %s", segment.seq, error)
            return None


async def _whole(segment: SegmentReader) -> bytes:
    """Read to the end.

    :raises ValueError: it is too long, or its end is missing
    """
    body = bytearray()
    async for chunk in segment:
        body += chunk
        if len(body) > MESSAGE_LIMIT_BYTES:
            raise ValueError(f"longer than {MESSAGE_LIMIT_BYTES} bytes")
    if not segment.complete:
        raise ValueError(f"broken off after {len(body)} bytes")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    :raises ValueError: it is something else
    """
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message
