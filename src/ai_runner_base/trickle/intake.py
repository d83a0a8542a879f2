"""The body of a POST: its first byte may never come, its sender may have to be told to stop."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import http, web
from aiohttp.web_protocol import RequestPayloadError

from ai_runner_base.trickle.channel import Write

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY_FAULTS: Final = (RequestPayloadError, http.HttpProcessingError, OSError, TimeoutError)
"""What reading a body raises when its sender vanished, was silent for too long, or sent rubbish."""


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
    write.channel.attach(segment, wake)
    try:
        while not begin.done() and not ended.done():
            done, _ = await asyncio.wait({begin, ended}, timeout=interval_s, return_when="FIRST_COMPLETED")
            if not done and request.transport is not None:
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
    """Answer before the body has come, and read on for a moment so that the answer is not lost to a reset.

    :raises ConnectionResetError: the body did not end in time; aiohttp closes the connection quietly
    """
    await response.prepare(request)
    await response.write_eof()
    try:
        async with asyncio.timeout(limit_s):
            while await request.content.readany():
                pass
    except BODY_FAULTS as fault:
        if request.transport is not None:
            request.transport.close()
        raise ConnectionResetError("the request was answered before its body ended") from fault
    return response
