"""The runner's end of a playground connection: messages in, bounded and watched; messages out, in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from ..errors import CallerError, RunnerError
from ..stream import BrowserResult
from .playground_messages import ACKNOWLEDGEMENT, NOTE, PICTURE, WAITING_PICTURE, Binary, refusal

log = logging.getLogger(__name__)

SILENCE_LIMIT_S = 4.0
SEND_LIMIT_S = 4.0
MAX_MESSAGES_PER_S = 400
"""Pictures, acknowledgements and the rest of a page at 60 frames a second stay below half of this."""
OUTBOX_MESSAGES = 64


class Wire:
    """Carries messages. All that goes out passes one bounded outbox."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._outbox: asyncio.Queue[bytes | str] = asyncio.Queue(OUTBOX_MESSAGES)
        self._rate = _Rate(MAX_MESSAGES_PER_S)

    # --- from the page --------------------------------------------------------------------------------------

    async def first(self, limit_s: float) -> str | None:
        """Wait for the first message; None when the page has gone.

        :raises CallerError: there is none in time
        """
        try:
            async with asyncio.timeout(limit_s):
                message = await self._socket.receive()
        except TimeoutError as error:
            raise CallerError(f"no start message within {limit_s:g} s") from error
        return str(message.data) if message.type is WSMsgType.TEXT else None

    async def messages(self) -> AsyncIterator[WSMessage]:
        """Yield messages until the page is gone, or silent for too long.

        :raises CallerError: there are too many of them
        """
        try:
            while True:
                async with asyncio.timeout(SILENCE_LIMIT_S):
                    message = await self._socket.receive()
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                self._rate.count()
                yield message
        except TimeoutError:
            log.warning("the page did not answer for %g s", SILENCE_LIMIT_S)

    # --- to the page ----------------------------------------------------------------------------------------

    def tell(self, type: str, **fields: Any) -> None:
        """Send a JSON message soon."""
        self._post(json.dumps({"type": type, **fields}, default=str))

    async def tell_first(self, type: str) -> None:
        """Send a JSON message before there is anything else to send."""
        with contextlib.suppress(
            TimeoutError, ConnectionError
        ):  # a page that is gone is met by what comes next
            await self._send(json.dumps({"type": type}))

    def give(self, result: BrowserResult) -> None:
        """Send a picture soon, or a note about one that goes by WebRTC."""
        flags = WAITING_PICTURE if result.is_waiting_picture else 0
        kind = PICTURE if result.jpeg else NOTE
        self._post(Binary(kind, result.seq, result.time_us, result.jpeg, flags).encode())

    def taken(self, time_us: int) -> None:
        """Let the page send another picture."""
        self._post(Binary(ACKNOWLEDGEMENT, 0, time_us).encode())

    def _post(self, message: bytes | str) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            log.debug("the page reads nothing; a message is left out")

    async def send_all(self) -> None:
        """Send what is in the outbox; close the connection when the page reads nothing for too long."""
        try:
            while True:
                await self._send(await self._outbox.get())
                self._outbox.task_done()
        except (TimeoutError, ConnectionError):
            await self._socket.close(code=WSCloseCode.GOING_AWAY)

    async def _send(self, message: bytes | str) -> None:
        async with asyncio.timeout(SEND_LIMIT_S):
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            else:
                await self._socket.send_str(message)

    async def end(self, reason: str) -> None:
        """Tell that the stream has ended, and close."""
        self.tell("ended", reason=reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._outbox.join()
        await self._socket.close()

    async def refuse(self, code: str, error: RunnerError, **more: Any) -> None:
        """Say no, and close."""
        if not self._socket.closed:
            await self._socket.send_json(refusal(code, error, **more))
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)


class _Rate:
    """Messages within the running second."""

    def __init__(self, limit: int) -> None:
        self._limit, self._second, self._count = limit, 0, 0

    def count(self) -> None:
        """Count one.

        :raises CallerError: too many
        """
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > self._limit:
            raise CallerError(f"more than {self._limit} messages in a second")
