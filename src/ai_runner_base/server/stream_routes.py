"""The routes for operators and pages: what is served, the live streams, their parameters and their end."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ..stream import Stream
from . import schemas
from .answers import json_answer
from .bodies import json_object
from .openapi import Route
from .options import RUNNER

_TAGS: Final = ("streams",)


def stream_routes() -> list[Route]:
    """Return the documented routes."""
    return [
        Route("GET", "/pipelines", pipelines, "What this runner serves", schemas.PipelineList, tags=_TAGS),
        Route(
            "GET",
            "/streams",
            streams,
            "All live streams, and the last ones that ended",
            schemas.StreamList,
            tags=_TAGS,
        ),
        Route(
            "GET",
            "/streams/{id}",
            stream,
            "One live stream",
            schemas.StreamStatus,
            errors=(404,),
            tags=_TAGS,
        ),
        Route(
            "PATCH",
            "/streams/{id}/params",
            patch_params,
            "Change a stream's parameters; keys that are left out keep their values",
            schemas.ParamsApplied,
            schemas.ParamsUpdate,
            errors=(400, 401, 403, 404, 422, 429, 500),
            needs_token=True,
            tags=_TAGS,
        ),
        Route(
            "DELETE",
            "/streams/{id}",
            delete_stream,
            "End a stream",
            schemas.StreamStatus,
            errors=(401, 403, 404),
            needs_token=True,
            tags=_TAGS,
        ),
    ]


async def pipelines(request: web.Request) -> web.Response:
    """List what the workers run."""
    return json_answer({"pipelines": request.app[RUNNER].describe_pipelines()})


async def streams(request: web.Request) -> web.Response:
    """List the live streams, and how the last ones ended."""
    runner = request.app[RUNNER]
    return json_answer(
        {"streams": [s.status() for s in runner.streams.values()], "ended": list(runner.ended)}
    )


async def stream(request: web.Request) -> web.Response:
    """Describe one live stream."""
    return json_answer(find_stream(request).status())


async def patch_params(request: web.Request) -> web.Response:
    """Merge the given keys into the running parameters and apply the whole."""
    changes = schemas.ParamsUpdate.model_validate(await json_object(request)).model_dump()
    return json_answer(await find_stream(request).patch_params(changes))


async def delete_stream(request: web.Request) -> web.Response:
    """End one stream and return its last status."""
    one = find_stream(request)
    await request.app[RUNNER].stop_stream(one.id, "stopped by request")
    return json_answer(one.status())


def find_stream(request: web.Request, name: str = "id") -> Stream:
    """Return the live stream that the path names.

    :param name: of the part of the path that holds the stream's id
    :raises web.HTTPNotFound: there is none
    """
    wanted = request.match_info[name]
    found = request.app[RUNNER].streams.get(wanted)
    if found is None:
        raise web.HTTPNotFound(text=f"no stream {wanted!r}; GET /streams lists the live ones")
    return found
