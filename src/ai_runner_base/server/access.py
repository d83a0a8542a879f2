"""Who may change something here: holders of the token, and of all web pages only the one that this runner served."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from .answers import Handler, is_trickle, json_answer
from .live_gate import VERIFIED

_CHANGE_NOTHING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def guard(auth_token: str) -> Middleware:
    """Return the middleware for methods that change something, outside trickle.

    A page of another site can send simple requests to any host, a runner on loopback included, without reading the
    answer: those are told by their ``Origin``.

    :param auth_token: when not empty, it is asked for; a Live Runner session's own token replaces it
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        free = request.method in _CHANGE_NOTHING or is_trickle(request)
        if free or VERIFIED in request:
            return await handler(request)
        if "Origin" in request.headers:
            check_origin(request, has_token=bool(auth_token))
        if auth_token and not same_token(request.headers.get("Authorization"), f"Bearer {auth_token}"):
            refused = json_answer({"detail": {"msg": "Invalid bearer token"}}, 401)
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        return await handler(request)

    return middleware


def check_origin(request: web.Request, *, has_token: bool) -> None:
    """Refuse pages of other sites. A caller without an ``Origin`` is no browser, and has the API anyway.

    Browsers let any page open a WebSocket to any host, so the origin has to be the host that was asked. That
    alone does not stop a foreign name that resolves to this machine (DNS rebinding): without a token, only
    names that nobody outside can own are accepted.

    :param has_token: a token is asked for later
    :raises web.HTTPForbidden: saying which host was expected
    """
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise web.HTTPForbidden(text=f"a page of {origin} may not use {request.host}")
    if not has_token and not is_local_name(urlsplit(f"//{request.host}").hostname or ""):
        raise web.HTTPForbidden(
            text=f"a runner without a token does not answer to the name {request.host}; use its address"
        )


def is_local_name(host: str) -> bool:
    """Whether nobody else can own a host name: an address, ``localhost``, one label, ``.local``."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".local", ".localhost")))
    return True


def same_token(given: object, wanted: str) -> bool:
    """Compare in a time that does not tell how much of it was right. No token is wanted: any will do."""
    return not wanted or (isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode()))
