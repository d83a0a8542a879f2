"""The routes that Livepeer's orchestrators and gateways call (live runner contract 1.1 to 1.4)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ..stream import StreamRequest
from . import hardware, schemas
from .answers import json_answer
from .bodies import json_object
from .openapi import Route
from .options import OPTIONS, RUNNER

_TAGS: Final = ("livepeer",)


def contract_routes() -> list[Route]:
    """Return the documented routes."""
    return [
        Route("GET", "/health", health, "State of the runner", schemas.HealthResponse, tags=_TAGS),
        Route("GET", "/version", version, "Configured identity", schemas.VersionResponse, tags=_TAGS),
        Route("GET", "/hardware/info", hardware_info, "GPUs", schemas.HardwareInfoResponse, tags=_TAGS),
        Route(
            "GET",
            "/hardware/stats",
            hardware_stats,
            "Load of the GPUs",
            schemas.HardwareStatsResponse,
            tags=_TAGS,
        ),
        Route(
            "POST",
            "/live-video-to-video",
            live_video_to_video,
            "Start a stream between trickle channels",
            schemas.LiveVideoToVideoResponse,
            schemas.LiveVideoToVideoParams,
            errors=(400, 401, 403, 422, 500),
            needs_token=True,
            tags=_TAGS,
        ),
    ]


async def health(request: web.Request) -> web.Response:
    """Answer at once, also while a pipeline loads."""
    return json_answer({"status": request.app[RUNNER].health()})


async def version(request: web.Request) -> web.Response:
    """Echo the configured identity."""
    return json_answer(_identity(request) | {"version": request.app[OPTIONS].version})


async def hardware_info(request: web.Request) -> web.Response:
    """Describe the GPUs."""
    return json_answer(schemas.HardwareInfoResponse(**_identity(request), gpu_info=hardware.gpu_info()))


async def hardware_stats(request: web.Request) -> web.Response:
    """Tell the GPUs' load."""
    return json_answer(schemas.HardwareStatsResponse(**_identity(request), gpu_stats=hardware.gpu_stats()))


async def live_video_to_video(request: web.Request) -> web.Response:
    """Admit and start a stream; answers before its first frame."""
    body = schemas.LiveVideoToVideoParams.model_validate(await json_object(request))
    started = await request.app[RUNNER].start_stream(StreamRequest(**body.model_dump()))
    return json_answer(schemas.LiveVideoToVideoResponse(request_id=started.id, manifest_id=body.manifest_id))


def _identity(request: web.Request) -> dict[str, str]:
    options = request.app[OPTIONS]
    model_id = options.model_id or request.app[RUNNER].pool.names[0]
    return {"pipeline": options.pipeline, "model_id": model_id}
