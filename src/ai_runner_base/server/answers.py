"""JSON answers, and every failure turned into one, in the contract's shapes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from ..errors import CapacityError, RunnerError
from ..trickle import BASE_PATH

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KEPT_HEADERS: Final = ("Allow", "Retry-After", "WWW-Authenticate")


def json_answer(body: BaseModel | dict[str, Any], status: int = 200) -> web.Response:
    """Return `body` as JSON, with its content type always."""
    return web.json_response(body.model_dump() if isinstance(body, BaseModel) else body, status=status)


def is_trickle(request: web.Request) -> bool:
    """Whether the embedded trickle server has the request; it answers in plain text and has its own access rules."""
    return request.path.startswith(BASE_PATH)


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure outside the trickle routes (plain text there) into the contract's JSON shapes."""
    if is_trickle(request):
        return await handler(request)
    try:
        return await handler(request)
    except ValidationError as error:
        items = [{"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
        return json_answer({"detail": items}, 422)
    except RunnerError as error:
        ours = error.http_status >= 500 and not isinstance(error, CapacityError)
        log.log(logging.ERROR if ours else logging.WARNING, "%s", error)
        return json_answer({"detail": {"msg": str(error)}}, error.http_status)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = json_answer({"detail": {"msg": error.text or error.reason}}, error.status)
        response.headers.update(
            {name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers}
        )
        return response
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return json_answer({"detail": {"msg": "internal error; the runner's log has the traceback"}}, 500)
