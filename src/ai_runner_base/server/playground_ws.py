"""The WebSocket at which playground pages open their sessions."""

from __future__ import annotations

from aiohttp import WSCloseCode, web

from ..stream import Runner
from .access import check_origin
from .playground_messages import PROTOCOL
from .playground_session import Session

MAX_CONNECTIONS = 32
MAX_MESSAGE_BYTES = 8 << 20
HEARTBEAT_S = 2.0
"""A cut line is noticed after one and a half of these; a closed or killed browser at once."""
CLOSE_LIMIT_S = 1.0
"""How long a page may take to answer that the connection is being closed."""


class Playground:
    """Opens sessions, at most `MAX_CONNECTIONS` at a time.

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
            timeout=CLOSE_LIMIT_S,
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
            protocols=(PROTOCOL,),
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
