"""What a session's client may do here: start its own stream, watch it, steer it, end it; nothing else.

An orchestrator's proxy passes on every method and path, so without this its clients would have the whole API: other
people's streams, the embedded trickle server, the playground. The proxy always sets the session headers, whatever
the client sent, so their presence alone confines a request; their token is what allows something.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..errors import CallerError
from ..orchestrator import SessionHeaders
from .bodies import json_object
from .live_runner import LiveRunner
from .live_schemas import SessionStart

START_PATH: Final = "/live-video-to-video"
OPEN_PATHS: Final = frozenset(
    {"/health", "/ready", "/version", "/hardware/info", "/hardware/stats", "/openapi.json"}
)
VERIFIED: Final = "live_session_verified"
"""Key of a request that a session's token has allowed; it needs no bearer token."""


def confine(live: LiveRunner | None) -> Middleware:
    """Return the middleware.

    :param live: None: this runner serves no orchestrator, so a session's requests get what is open to all
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            headers = SessionHeaders.read(request.headers)
        except CallerError as error:
            raise web.HTTPBadRequest(text=error.message) from error
        if headers is None:
            return await handler(request)
        path = request.path.rstrip("/")
        if request.method == "GET" and path in OPEN_PATHS:
            return await handler(request)
        if live is None:
            raise web.HTTPForbidden(
                text="this runner was given no orchestrator; start it with --orchestrator"
            )
        if request.method == "POST" and path == START_PATH:
            return await _start(live, headers, request)
        if request.method == "GET" and path == "/pipelines":
            return web.json_response({"pipelines": live.public_pipelines()})
        if request.method == "GET" and path == "/streams":
            session = live.session(headers)
            return web.json_response({"streams": [session.stream.status()] if session else []})
        return await _own_stream(live, headers, request, handler)

    return middleware


async def _start(live: LiveRunner, headers: SessionHeaders, request: web.Request) -> web.StreamResponse:
    answer = await live.start_session(
        headers, SessionStart.model_validate(await json_object(request, may_be_empty=True))
    )
    return web.json_response(answer.model_dump())


async def _own_stream(
    live: LiveRunner, headers: SessionHeaders, request: web.Request, handler: Handler
) -> web.StreamResponse:
    session = live.session(headers)
    if session is None:
        raise web.HTTPForbidden(text="this session has no stream here; start one first")
    own = f"/streams/{session.stream.id}"
    if request.path != own and not request.path.startswith(f"{own}/"):
        raise web.HTTPForbidden(text=f"a session may use {own} only")
    request[VERIFIED] = True
    return await handler(request)
