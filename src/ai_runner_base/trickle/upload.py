"""One segment on its way to the peer: a POST that is opened before there is anything to say.

`aiohttp` would keep the request's headers back until the first byte of the body; `_Body` sends them at once,
so that the peer knows the next segment before it begins. Bytes go from the caller straight to the connection.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload

from .http import FAULTS, Peer, describe, short_text
from .protocol import HEADER_CLOSED, HEADER_RESET

_log = logging.getLogger(__name__)

DIRECT_LIMIT_BYTES: Final = 64 * 1024
"""A write goes straight to the connection while no more than this waits in it."""


class Result(enum.Enum):
    """How a segment's upload ended."""

    SENT = "the peer has it"
    CONSUMED = "the peer ended the segment before it began; its number is used up"
    FAILED = "the peer may have a part of it"
    NO_CHANNEL = "the channel does not exist (HTTP 404)"
    CLOSED = "the channel has ended"


class _Body(Payload):
    """A request body that hands its writer over instead of producing bytes."""

    def __init__(self, upload: Upload, mime: str) -> None:
        super().__init__(None, content_type=mime)
        self._upload = upload

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """Refuse: a body that is still being written has no text."""
        raise TypeError("a trickle body cannot be read back")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the headers, then whatever the upload gets, until its end."""
        if not isinstance(writer, StreamWriter):
            raise TypeError(f"trickle needs aiohttp's StreamWriter, not {type(writer).__name__}")
        writer.send_headers()
        await self._upload.pump(writer)


class Upload:
    """One segment. Its task owns the request; `write` and `finish` may be called at any time.

    :param reset: tell the peer that this publisher has restarted
    :param on_done: called once with this upload when `result` is known; must not raise
    :param on_late: called once if it is finished and `ClientOptions.late_after_s` later still unanswered
    """

    def __init__(
        self,
        peer: Peer,
        seq: int,
        mime: str,
        *,
        reset: bool,
        on_done: Callable[[Upload], None],
        on_late: Callable[[], None],
    ) -> None:
        self.seq = seq
        self.result: Result | None = None
        self.reason = ""
        self.begun = False
        """Bytes were given to it, or its end."""
        self.finished = False
        """The caller has written all."""
        self.sent_bytes = 0
        """Bytes of the body that were handed to a connection."""
        self._peer = peer
        self._mime = mime
        self._headers = {HEADER_RESET: "1"} if reset else {}
        self._on_done = on_done
        self._on_late = on_late
        self._late: asyncio.TimerHandle | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._body_ended = False
        self._writer: StreamWriter | None = None
        self._deadline: asyncio.Timeout | None = None
        self._wanted = asyncio.Event()  # something is queued, or the end is
        self._room = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"trickle-post-{seq}")
        self.task.add_done_callback(self._settle)

    # --- the caller's side ---

    async def write(self, data: bytes) -> bool:
        """Send bytes, or queue them within the limit.

        :param data: not empty
        :return: False when the segment has failed, or fails now because there was no room for too long
        """
        if self.result is not None or self.finished:
            return False
        self.begun = True
        writer = self._writer
        if writer is not None and self._flows(writer):
            self.sent_bytes += len(data)
            await writer.write(data, drain=False)
            return True
        if self._queue and not await self._wait_for_room(len(data)):
            return False
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._wanted.set()
        return True

    def finish(self) -> None:
        """Nothing more will be written; the answer is awaited in the background. Idempotent."""
        self.begun = self.finished = True
        self._wanted.set()
        self._set_deadline()
        if self._late is None and self.result is None:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(self._peer.options.late_after_s, self._on_late)

    def abort(self, reason: str) -> None:
        """Give up; the connection is dropped and the upload fails."""
        self.reason = self.reason or reason
        self.task.cancel()

    def _flows(self, writer: StreamWriter) -> bool:
        """Bytes can go to the connection without waiting, and without overtaking others."""
        transport = writer.transport
        if self._queue or transport is None or transport.is_closing():
            return False
        return transport.get_write_buffer_size() <= DIRECT_LIMIT_BYTES

    async def _wait_for_room(self, size_bytes: int) -> bool:
        options = self._peer.options
        try:
            async with asyncio.timeout(options.write_timeout_s):
                while self.result is None and self._queued_bytes + size_bytes > options.buffer_bytes:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            self.abort(f"the peer took nothing for {options.write_timeout_s:g} s")
            await asyncio.wait({self.task})
        return self.result is None

    # --- the connection's side ---

    async def pump(self, writer: StreamWriter) -> None:
        """Send what is queued until the end; later writes go to the connection directly."""
        self._writer = writer
        while True:
            while self._queue:
                await self._send_queued(writer)
            if self.finished:
                self._body_ended = True
                return
            self._wanted.clear()
            await self._wanted.wait()

    async def _send_queued(self, writer: StreamWriter) -> None:
        data = self._queue.popleft()
        self._queued_bytes -= len(data)
        self._room.set()
        self.sent_bytes += len(data)
        await writer.write(data, drain=False)
        await writer.drain()

    async def _run(self) -> Result:
        """POST the segment, a second time if no byte of it was taken the first time."""
        failures = 0
        while True:
            result = await self._attempt()
            if result is not Result.FAILED or self.sent_bytes or failures:
                return result
            if self.begun:
                failures += 1
            else:
                # Opened in vain (a restart, a timeout on the way): try again when there is something to say.
                await self._wanted.wait()

    async def _attempt(self) -> Result:
        deadline = self._deadline = asyncio.timeout(None)
        try:
            async with deadline:
                if self.finished:
                    self._set_deadline()
                return await self._post()
        except FAULTS as error:
            late = f"no answer within {self._peer.options.answer_timeout_s:g} s"
            self.reason = late if deadline.expired() else describe(error)
            return Result.FAILED
        finally:
            self._writer = self._deadline = None

    async def _post(self) -> Result:
        body = _Body(self, self._mime)
        response = await self._peer.request("POST", self.seq, data=body, headers=self._headers)
        try:
            text = await short_text(response)
            return self._judge(response, text)
        finally:
            response.close()  # nothing to a connection that went back to the pool, the end of any other

    def _judge(self, response: aiohttp.ClientResponse, text: str) -> Result:
        self.reason = f"HTTP {response.status} {text}".strip()
        if response.status == 404:
            return Result.NO_CHANNEL
        if HEADER_CLOSED in response.headers:
            return Result.CLOSED
        if response.status != 200:
            return Result.FAILED
        if self._body_ended:
            return Result.SENT
        self.reason = "the peer ended the segment early"
        return Result.FAILED if self.begun else Result.CONSUMED

    def _set_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._peer.options.answer_timeout_s)

    def _settle(self, task: asyncio.Task[Result]) -> None:
        if task.cancelled():
            self.result = Result.FAILED
        elif (error := task.exception()) is not None:
            _log.error("trickle upload %s/%d", self._peer.name, self.seq, exc_info=error)
            self.result, self.reason = Result.FAILED, repr(error)
        else:
            self.result = task.result()
        if self._late is not None:
            self._late.cancel()
        self._queue.clear()
        self._queued_bytes = 0
        self._room.set()
        self._on_done(self)
