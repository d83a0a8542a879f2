"""WHIP (RFC 9725) and WHEP over HTTP, and a stream's output as MPEG-TS for plain players."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final

from aiohttp import web

from ..errors import CallerError, CapacityError
from ..stream import Runner
from ..webrtc import PeerOptions
from .access import check_origin, same_token
from .openapi import Route
from .stream_routes import find_stream
from .webrtc_sessions import PublishRequest, Session, WebrtcSessions

_SESSIONS = web.AppKey("webrtc_routes.sessions", WebrtcSessions)
_TOKEN = web.AppKey("webrtc_routes.token", str)

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES: Final = 64 << 10
DEFAULT_BITRATE_BPS: Final = 3_000_000
MIN_BITRATE_BPS: Final = 100_000
MAX_BITRATE_BPS: Final = 50_000_000
PARAMS_HEADER: Final = "AI-Runner-Params"
RETRY_AFTER_S: Final = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def webrtc_routes() -> list[Route]:
    """Return the documented routes."""
    tags = ("webrtc",)
    refused = (400, 401, 403, 406, 409, 415, 500, 501, 503)
    session = (401, 404)
    patch: dict[str, Any] = {"needs_token": True, "tags": tags, "status": 204, "body_type": FRAGMENT}
    patch["errors"] = (*session, 400, 412, 415)
    sdp: dict[str, Any] = {
        "content_type": SDP,
        "body_type": SDP,
        "needs_token": True,
        "status": 201,
        "tags": tags,
    }
    own: dict[str, Any] = {"needs_token": True, "tags": tags}
    return [
        Route("POST", "/whip/{pipeline}", whip, "Publish video to a pipeline (WHIP)", errors=refused, **sdp),
        Route("PATCH", "/whip/{pipeline}/{session}", whip_patch, "Trickle ICE", **patch),
        Route("DELETE", "/whip/{pipeline}/{session}", whip_delete, "End a publisher", errors=session, **own),
        Route("POST", "/whep/{stream}", whep, "Play a stream's output (WHEP)", errors=(*refused, 404), **sdp),
        Route("PATCH", "/whep/{stream}/{session}", whep_patch, "Trickle ICE", **patch),
        Route("DELETE", "/whep/{stream}/{session}", whep_delete, "End a viewer", errors=session, **own),
        Route(
            "GET",
            "/streams/{id}/output.ts",
            output_ts,
            "A stream's output as MPEG-TS without end",
            content_type="video/mp2t",
            errors=(400, 401, 404, 503),
            needs_token=True,
            tags=tags,
        ),
    ]


def attach(app: web.Application, runner: Runner, options: PeerOptions, auth_token: str) -> None:
    """Give the handlers what they work with."""
    sessions = WebrtcSessions(runner, options)
    app[_SESSIONS], app[_TOKEN] = sessions, auth_token

    async def close(_app: web.Application) -> None:
        await sessions.close_all()

    app.on_shutdown.append(close)


# --- publishers -----------------------------------------------------------------------------------------------


async def whip(request: web.Request) -> web.Response:
    """Answer a publisher's offer."""
    offer = await _body(request, SDP)
    wanted = PublishRequest(
        pipeline=request.match_info["pipeline"],
        params=_params(request),
        stream=_stream_name(request),
        bitrate_bps=_bitrate(request),
    )
    try:
        session = await request.app[_SESSIONS].publish(wanted, offer)
    except CapacityError as error:
        # Livepeer's 500 is for orchestrators; WHIP has a status of its own for this.
        raise web.HTTPServiceUnavailable(
            text=str(error), headers={"Retry-After": str(RETRY_AFTER_S)}
        ) from error
    return _created(request, "whip", session)


async def whip_patch(request: web.Request) -> web.Response:
    """Take further candidates of a publisher."""
    return await _patch(request, "pipeline")


async def whip_delete(request: web.Request) -> web.Response:
    """End a publisher, and with it its stream."""
    return await _delete(request, "pipeline")


# --- viewers --------------------------------------------------------------------------------------------------


async def whep(request: web.Request) -> web.Response:
    """Answer a viewer's offer."""
    offer = await _body(request, SDP)
    session = await request.app[_SESSIONS].view(find_stream(request, "stream"), offer)
    return _created(request, "whep", session)


async def whep_patch(request: web.Request) -> web.Response:
    """Take further candidates of a viewer."""
    return await _patch(request, "stream")


async def whep_delete(request: web.Request) -> web.Response:
    """End a viewer."""
    return await _delete(request, "stream")


async def output_ts(request: web.Request) -> web.StreamResponse:
    """Send a stream's output from the next key frame on, until the stream or the player ends."""
    token = request.app[_TOKEN]
    given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("token")
    if not same_token(given, token):
        raise web.HTTPUnauthorized(text="Invalid bearer token", headers={"WWW-Authenticate": "Bearer"})
    stream = find_stream(request)
    if stream.output is None:
        raise CallerError(f"the output of stream {stream.id!r} cannot be watched; it goes to its own player")
    response = web.StreamResponse(headers={"Content-Type": "video/mp2t", "Cache-Control": "no-store"})
    with (
        request.app[_SESSIONS].watching(),
        contextlib.suppress(ConnectionError),
    ):  # a player may go when it likes
        await response.prepare(request)
        async with contextlib.aclosing(stream.output.ts()) as pieces:
            async for data in pieces:
                await response.write(data)
        await response.write_eof()
    return response


# --- helpers --------------------------------------------------------------------------------------------------


def _created(request: web.Request, kind: str, session: Session) -> web.Response:
    response = web.Response(status=201, text=session.answer, content_type=SDP)
    response.headers["Location"] = f"/{kind}/{session.about}/{session.id}"
    response.headers["ETag"] = _etag(session)
    response.headers["AI-Runner-Stream"] = session.stream
    for server in request.app[_SESSIONS].options.ice_servers:
        credentials = (
            f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
        )
        more = credentials if server.username else ""
        response.headers.add("Link", f'<{server.url}>; rel="ice-server"{more}')
    return response


def _etag(session: Session) -> str:
    return f'"{session.id[:8]}"'


async def _patch(request: web.Request, about: str) -> web.Response:
    session = _session(request, about)
    wanted = request.headers.get("If-Match", "*")
    if wanted not in ("*", _etag(session)):
        raise web.HTTPPreconditionFailed(
            text="ICE restarts are not supported; DELETE the session and POST again"
        )
    await session.peer.add_candidates(await _body(request, FRAGMENT))
    return web.Response(status=204)


async def _delete(request: web.Request, about: str) -> web.Response:
    session = _session(request, about)
    await session.peer.aclose("ended by request")
    return web.Response(status=200)


def _session(request: web.Request, about: str) -> Session:
    session = request.app[_SESSIONS].find(request.match_info["session"], request.match_info[about])
    if session is None:
        raise web.HTTPNotFound(text="no such session; it has ended, or never was")
    return session


async def _body(request: web.Request, content_type: str) -> str:
    check_origin(request, has_token=bool(request.app[_TOKEN]))
    if request.content_type != content_type:
        raise web.HTTPUnsupportedMediaType(
            text=f"the body must be {content_type}, got {request.content_type}"
        )
    data = await request.content.read(MAX_SDP_BYTES + 1)
    while len(data) <= MAX_SDP_BYTES and (more := await request.content.read(MAX_SDP_BYTES)):
        data += more
    if len(data) > MAX_SDP_BYTES:
        raise CallerError(f"the body has more than {MAX_SDP_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CallerError("the body is not UTF-8") from error


def _params(request: web.Request) -> dict[str, Any]:
    text = request.query.get("params") or request.headers.get(PARAMS_HEADER) or "{}"
    try:
        params = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CallerError(f"`params` is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise CallerError(f"`params` must be a JSON object, got {type(params).__name__}")
    return params


def _stream_name(request: web.Request) -> str:
    name = request.query.get("stream", "")
    if name and not _NAME.fullmatch(name):
        raise CallerError(f"`stream` must match {_NAME.pattern}, got {name!r}")
    return name


def _bitrate(request: web.Request) -> int:
    text = request.query.get("bitrate", str(DEFAULT_BITRATE_BPS))
    if not (text.isascii() and text.isdigit()) or not MIN_BITRATE_BPS <= int(text) <= MAX_BITRATE_BPS:
        raise CallerError(
            f"`bitrate` is in bit/s, from {MIN_BITRATE_BPS} to {MAX_BITRATE_BPS}; got {text[:20]!r}"
        )
    return int(text)
