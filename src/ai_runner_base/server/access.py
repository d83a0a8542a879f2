"""Who may open a live session from a web page: the page that this runner served, and no other."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from aiohttp import web


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
