"""Request bodies: one place that says what a JSON body may be."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..errors import CallerError

MAX_BODY_BYTES = 4 << 20
"""Parameters may hold a whole workflow, but not a film."""


async def json_object(request: web.Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Return the body as an object.

    :param may_be_empty: no body means an empty object
    :raises CallerError: it is not JSON, no object, or longer than `MAX_BODY_BYTES`
    """
    try:
        if may_be_empty and not await request.read():
            return {}
        body = await request.json()
    except (ValueError, RecursionError) as error:
        raise CallerError(f"the body is not JSON: {error}") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise CallerError(f"the body has more than {MAX_BODY_BYTES} bytes") from error
    if not isinstance(body, dict):
        raise CallerError(f"the body must be a JSON object, got {type(body).__name__}")
    return body
