"""The body of a POST: its first byte may never come, its sender may have to be told to stop."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import http, web
from aiohttp.web_protocol import RequestPayloadError

from .channel import Write

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY_FAULTS: Final = (RequestPayloadError, http.HttpProcessingError, OSError, TimeoutError)
"""What reading a body raises when its sender vanished, was silent for too long, or sent rubbish."""

FLUSH_STEP_S: Final = 0.01
FLUSH_STEPS: Final = 50
"""How often, and how many times, we look whether a closing connection has sent its last bytes."""


async def first_bytes(
    request: web.Request, write: Write, *, interval_s: float, grace_s: float
) -> bytes | None:
    """Wait for the body to begin, and tell the sender from time to time that it is still wanted.

    :param interval_s: how often ``100 Continue`` is written
    :param grace_s: when the segment has already ended: how long a second POST may take to append to it
    :return: bytes; empty when the body is empty; None when the segment was ended first
    :raises OSError: the sender left (see `BODY_FAULTS`)
    """
    segment = write.segment
    if segment.ended:
        return await _within(request, grace_s)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if segment.ended and not ended.done():
            ended.set_result(None)

    begin = asyncio.ensure_future(request.content.readany())
    waiting: tuple[asyncio.Future[Any], ...] = (begin, ended)
    write.channel.attach(segment, wake)
    try:
        while not begin.done() and not ended.done():
            await asyncio.wait(waiting, timeout=interval_s, return_when=asyncio.FIRST_COMPLETED)
            if not (begin.done() or ended.done()) and request.transport is not None:
                request.transport.write(CONTINUE)
        return begin.result() if begin.done() else None
    finally:
        write.channel.detach(segment, wake)
        await _cancel(begin)


async def _within(request: web.Request, limit_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(limit_s):
            return await request.content.readany()
    except TimeoutError:
        return None


async def _cancel(task: asyncio.Future[bytes]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


async def linger(request: web.Request, response: web.Response, limit_s: float) -> web.StreamResponse:
    """Answer before the body has come, and read on for a moment so that the answer is not lost to a reset."""
    try:
        await response.prepare(request)
        await response.write_eof()
        async with asyncio.timeout(limit_s):
            while await request.content.readany():
                pass
    except BODY_FAULTS:
        await _hang_up(request)
    return response


async def _hang_up(request: web.Request) -> None:
    """Close the connection and see it closed: aiohttp would go on waiting for the body otherwise."""
    transport = request.transport
    if transport is None:
        return
    transport.close()
    for _ in range(FLUSH_STEPS):
        if request.transport is None:
            return
        await asyncio.sleep(FLUSH_STEP_S)
    transport.abort()
    await asyncio.sleep(FLUSH_STEP_S)
