"""WHIP (RFC 9725) and WHEP over HTTP, and a stream's output as MPEG-TS for plain players."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final

from aiohttp import web

from ..errors import CallerError, CapacityError
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
    sdp: dict[str, Any] = {
        "content_type": SDP,
        "body_type": SDP,
        "needs_token": True,
        "status": 201,
        "tags": tags,
    }
    return [
        Route("POST", "/whip/{pipeline}", whip, "Publish video to a pipeline (WHIP)", errors=refused, **sdp),
        *_session_routes("whip", "pipeline", "publisher"),
        Route("POST", "/whep/{stream}", whep, "Play a stream's output (WHEP)", errors=(*refused, 404), **sdp),
        *_session_routes("whep", "stream", "viewer"),
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


def _session_routes(kind: str, about: str, who: str) -> list[Route]:
    """Return what can be done with one session, which is the same for both kinds."""
    path, errors = f"/{kind}/{{{about}}}/{{session}}", (401, 404)
    common: dict[str, Any] = {"needs_token": True, "tags": ("webrtc",)}
    return [
        Route(
            "PATCH",
            path,
            patch_session,
            "Trickle ICE",
            errors=(*errors, 400, 412, 415),
            status=204,
            body_type=FRAGMENT,
            operation_id=f"{kind}_patch",
            **common,
        ),
        Route(
            "DELETE",
            path,
            delete_session,
            f"End a {who}",
            errors=errors,
            operation_id=f"{kind}_delete",
            **common,
        ),
    ]


def attach(app: web.Application, sessions: WebrtcSessions, auth_token: str) -> None:
    """Give the handlers what they work with."""
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


# --- viewers --------------------------------------------------------------------------------------------------


async def whep(request: web.Request) -> web.Response:
    """Answer a viewer's offer."""
    offer = await _body(request, SDP)
    session = await request.app[_SESSIONS].view(find_stream(request, "stream"), offer)
    return _created(request, "whep", session)


# --- sessions of both -----------------------------------------------------------------------------------------


async def patch_session(request: web.Request) -> web.Response:
    """Take further candidates of a peer."""
    session = _session(request)
    wanted = request.headers.get("If-Match", "*")
    if wanted not in ("*", _etag(session)):
        raise web.HTTPPreconditionFailed(
            text="ICE restarts are not supported; DELETE the session and POST again"
        )
    await session.peer.add_candidates(await _body(request, FRAGMENT))
    return web.Response(status=204)


async def delete_session(request: web.Request) -> web.Response:
    """End a peer; a publisher's stream ends with it."""
    await _session(request).peer.aclose("ended by request")
    return web.Response(status=200)


def _session(request: web.Request) -> Session:
    """Return the session that the path names, under the pipeline or stream that it belongs to."""
    about = request.match_info.get("pipeline") or request.match_info["stream"]
    session = request.app[_SESSIONS].find(request.match_info["session"], about)
    if session is None:
        raise web.HTTPNotFound(text="no such session; it has ended, or never was")
    return session


# --- MPEG-TS --------------------------------------------------------------------------------------------------


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
