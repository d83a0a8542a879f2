"""Live sessions of the playground over WebSocket: pictures as binary messages, all else as JSON (docs/playground.md).

One connection is one stream. Whatever ends either ends both: a closed tab, a killed browser (its socket closes), a hung
one (it no longer answers the status that it gets twice a second), a stream that is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
import time
from typing import Any

import psutil
from aiohttp import WSCloseCode, WSMsgType, web

from ..errors import CallerError, CapacityError, RunnerError
from ..stream import BrowserResult, BrowserStream, Runner, Seat, StreamRequest
from ..stream.browser import BROWSER_URL
from .access import check_origin, same_token

log = logging.getLogger(__name__)

PROTOCOL = "ai-runner.playground.1"
HEADER = struct.Struct("<BBHIq")
"""Kind, flags, zero, frame number, time in microseconds on the page's clock; a JPEG follows a picture."""
PICTURE, ACKNOWLEDGEMENT = 1, 2
WAITING_PICTURE = 1
"""Flag of a picture that no pipeline made."""

MAX_CONNECTIONS = 32
MAX_MESSAGE_BYTES = 8 << 20
MAX_MESSAGES_PER_S = 400
START_LIMIT_S = 5.0
SILENCE_LIMIT_S = 4.0
HEARTBEAT_S = 2.0
STATUS_INTERVAL_S = 0.5
RETRY_AFTER_S = 1.0
WRONG_TOKEN_PAUSE_S = 0.5
_OUTBOX_MESSAGES = 64

SESSIONS: web.AppKey[set[web.WebSocketResponse]] = web.AppKey("playground sessions", set)


class Playground:
    """Opens sessions.

    :param auth_token: asked for in each session's first message when not empty
    """

    def __init__(self, runner: Runner, auth_token: str) -> None:
        self._runner, self._auth_token = runner, auth_token
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Carry one session, from upgrade to close."""
        check_origin(request, has_token=bool(self._auth_token))
        if len(self._open) >= MAX_CONNECTIONS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_CONNECTIONS} playground pages are open already")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False, protocols=(PROTOCOL,)
        )
        await socket.prepare(request)
        self._open.add(socket)
        try:
            await Session(socket, self._runner, self._auth_token).run()
        finally:
            self._open.discard(socket)
        return socket

    async def close_all(self, _app: web.Application) -> None:
        """End all sessions, as the server shuts down."""
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the runner shuts down")
