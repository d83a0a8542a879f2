"""The channels beside a stream's media, kept open: events go out, control messages come in.

A gateway moves a stream whose events are silent for 30 s, and steers it by control messages only, so neither channel
may be gone for good because it was away for a while.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from ..errors import PeerError, RunnerError
from ..trickle import ChannelReader, ChannelWriter, JsonSubscriber

log = logging.getLogger(__name__)

REOPEN_AFTER_S = 2.0
RETRY_AFTER_S = 0.5
MAX_TRIES = 20
"""Of one event, about as many seconds: what its peer does not take for another reason than an outage, such as its size,
must not keep the next ones back until a gateway misses them."""
KEPT_MESSAGES = 64
CLOSE_LIMIT_S = 2.0


class EventsChannel:
    """Sends events, one per segment, each until its peer has it. While the channel is away the newest ones wait.

    :param open_writer: opens the channel
    :param on_fault: called with ``events_reopened``, ``events_retried`` or ``events_lost``
    """

    def __init__(self, open_writer: Callable[[], ChannelWriter], on_fault: Callable[[str], None]) -> None:
        self._open_writer, self._on_fault = open_writer, on_fault
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._closing = self._away = False
        self._tries = 0
        self._writer = open_writer()
        self._task = asyncio.create_task(self._run(), name="events")

    def put(self, message: Mapping[str, Any]) -> None:
        """Send a message; returns at once."""
        self._waiting.append(json.dumps(message, separators=(",", ":")).encode())
        if len(self._waiting) > KEPT_MESSAGES:
            self._waiting.popleft()
            self._on_fault("events_lost")
        self._changed.set()

    async def aclose(self) -> None:
        """Send what waits and end the channel, so that its readers know; within `CLOSE_LIMIT_S`."""
        self._closing = True
        self._changed.set()
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await asyncio.wait({self._task})
                await self._writer.aclose(delete=True)
        except TimeoutError:
            log.info("events channel: its peer does not take the last events")
            await self._drop()
        finally:
            self._task.cancel()

    async def _drop(self) -> None:
        """Let go of a peer that does not answer, without asking it anything more."""
        self._task.cancel()
        await asyncio.wait({self._task})
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await self._writer.aclose()

    async def _run(self) -> None:
        while True:
            try:
                await self._send_all()
                return
            except PeerError as error:
                log.log(logging.DEBUG if self._away else logging.WARNING, "events channel: %s", error)
            self._away = True
            await self._writer.aclose()
            await asyncio.sleep(REOPEN_AFTER_S)
            self._writer = self._open_writer()

    async def _send_all(self) -> None:
        """Send until closed.

        :raises PeerError: the channel is gone
        """
        while self._waiting or not self._closing:
            if self._waiting:
                await self._send(self._waiting.popleft())
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _send(self, data: bytes) -> None:
        try:
            async with self._writer.segment() as write:
                await write(data)
            arrived = await write.delivered()
        except PeerError:
            self._waiting.appendleft(data)
            raise
        if not arrived:
            await self._again(data)
            return
        self._tries = 0
        if self._away:
            self._away = False
            self._on_fault("events_reopened")

    async def _again(self, data: bytes) -> None:
        """Put a message back that did not arrive, unless it was tried often enough."""
        self._tries += 1
        if self._tries < MAX_TRIES:
            self._waiting.appendleft(data)
            self._on_fault("events_retried")
        else:
            self._tries = 0
            self._on_fault("events_lost")
        await asyncio.sleep(RETRY_AFTER_S)


async def follow_control(
    open_reader: Callable[[], ChannelReader],
    take: Callable[[dict[str, Any]], Awaitable[None]],
    on_fault: Callable[[str], None],
) -> None:
    """Hand each control message to `take`, the newest when several wait, until cancelled.

    :param on_fault: called with ``control_reopened``
    """
    away = False
    while True:
        reason = "it has ended"
        try:
            async with JsonSubscriber(open_reader(), latest=True) as messages:
                async for message in messages:
                    if away:
                        away = False
                        on_fault("control_reopened")
                    await take(message)
        except RunnerError as error:
            reason = str(error)
        log.log(logging.DEBUG if away else logging.WARNING, "control channel: %s; looking for it", reason)
        away = True
        await asyncio.sleep(REOPEN_AFTER_S)
