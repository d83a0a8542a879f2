"""The WebSocket at which playground pages open their sessions."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import WSCloseCode, web

from ..errors import CallerError
from .access import check_origin, same_token
from .playground_messages import PROTOCOL, Start, Watch, parse, parse_json
from .playground_session import Session
from .playground_watch import WatchSession
from .playground_wire import Wire
from .webrtc_sessions import WebrtcSessions

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
MAX_MESSAGE_BYTES = 8 << 20
HEARTBEAT_S = 2.0
"""A cut line is noticed after one and a half of these; a closed or killed browser at once."""
CLOSE_LIMIT_S = 1.0
"""How long a page may take to answer that the connection is being closed."""
START_LIMIT_S = 5.0
WRONG_TOKEN_PAUSE_S = 0.5


class Playground:
    """Opens sessions, at most `MAX_CONNECTIONS` at a time.

    :param auth_token: asked for in each session's first message when not empty
    """

    def __init__(self, webrtc: WebrtcSessions, auth_token: str) -> None:
        self._webrtc, self._auth_token = webrtc, auth_token
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Carry one session, from upgrade to close."""
        check_origin(request, has_token=bool(self._auth_token))
        if len(self._open) >= MAX_CONNECTIONS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_CONNECTIONS} playground pages are open already")
        socket = web.WebSocketResponse(
            timeout=CLOSE_LIMIT_S,
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
            protocols=(PROTOCOL,),
        )
        await socket.prepare(request)
        self._open.add(socket)
        try:
            await self._carry(Wire(socket))
        finally:
            self._open.discard(socket)
        return socket

    async def _carry(self, wire: Wire) -> None:
        try:
            first = await self._admit(wire)
        except CallerError as error:
            await wire.refuse("invalid", error)
            return
        try:
            if isinstance(first, Watch):
                await WatchSession(wire, self._webrtc).run(first)
            elif first is not None:
                await Session(wire, self._webrtc).run(first)
        except CallerError as error:
            log.warning("the page broke the protocol: %s", error)
            await wire.refuse("protocol", error)

    async def _admit(self, wire: Wire) -> Start | Watch | None:
        """Wait for the first message; None when the page has been told no, or has gone.

        :raises CallerError: it cannot be understood
        """
        text = await wire.first(START_LIMIT_S)
        if text is None:
            return None
        message = parse_json(text)
        first = parse(Watch, message) if message.get("type") == "watch" else parse(Start, message)
        if same_token(first.token, self._auth_token):
            return first
        await asyncio.sleep(WRONG_TOKEN_PAUSE_S)
        words = "wrong token" if first.token else "this runner asks for a token"
        await wire.refuse("token", CallerError(words))
        return None

    async def close_all(self, _app: web.Application) -> None:
        """End all sessions, as the server shuts down."""
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the runner shuts down")
