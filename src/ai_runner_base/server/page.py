"""The playground's files: read once from the package, served under a policy that allows no other host."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from aiohttp import web

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, nothing inline. `blob:` is what the page itself makes, such as a chosen video file."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), display-capture=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-cache",
}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Return content and entity tag of every file by its name."""
    found = [f for f in (files(__package__) / "playground").iterdir() if f.name.rpartition(".")[2] in _TYPES]
    contents = {f.name: f.read_bytes() for f in found}
    return {name: (content, hashlib.sha256(content).hexdigest()[:20]) for name, content in contents.items()}


async def show(request: web.Request) -> web.Response:
    """Serve the page."""
    return _answer(request, "index.html")


async def file(request: web.Request) -> web.Response:
    """Serve one of the page's files."""
    return _answer(request, request.match_info["name"])


def _answer(request: web.Request, name: str) -> web.Response:
    found = _files().get(name)
    if found is None:
        raise web.HTTPNotFound(text=f"the playground has no file {name!r}")
    content, tag = found
    headers = _HEADERS | {"Content-Type": _TYPES[name.rpartition(".")[2]], "ETag": f'"{tag}"'}
    if any(known.value == tag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, headers=headers)
