"""Two routes for operators of orchestrators: a health check whose status code decides, and the registrations."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ..stream import Runner
from ..supervisor import WorkerState
from .live_runner import LiveRunner
from .live_schemas import OrchestratorList, ReadyResponse
from .openapi import Route
from .options import RUNNER

_LIVE = web.AppKey("live_routes.live", list[LiveRunner])
_GONE: Final = (WorkerState.FAILED, WorkerState.STOPPED)


def live_routes() -> list[Route]:
    """Return the documented routes."""
    tags = ("orchestrators",)
    return [
        Route(
            "GET",
            "/ready",
            ready,
            "200 once streams can run, else 503",
            ReadyResponse,
            errors=(503,),
            tags=tags,
        ),
        Route("GET", "/orchestrators", orchestrators, "Registrations", OrchestratorList, tags=tags),
    ]


def attach(app: web.Application, live: LiveRunner | None) -> None:
    """Give the handlers what they tell about."""
    app[_LIVE] = [live] if live else []


async def ready(request: web.Request) -> web.Response:
    """Answer with the status code that a static entry of an orchestrator polls."""
    answer = readiness(request.app[RUNNER])
    if not answer.ready:
        raise web.HTTPServiceUnavailable(text=answer.reason)
    return web.json_response(answer.model_dump())


def readiness(runner: Runner) -> ReadyResponse:
    """Say whether streams can run.

    An orchestrator releases all sessions of a static entry on one bad answer. So once a pipeline has loaded, the
    answer stays good through restarts and reloads, during which streams live on, until every worker has failed.
    """
    if runner.streams:
        return ReadyResponse(ready=True, reason="streams are running")
    alive = [seat.supervisor for seat in runner.pool if seat.supervisor.state not in _GONE]
    if not alive:
        return ReadyResponse(ready=False, reason="no worker is running")
    loaded = any(supervisor.info is not None for supervisor in alive)
    return ReadyResponse(ready=loaded, reason="loaded" if loaded else "the pipeline is loading")


async def orchestrators(request: web.Request) -> web.Response:
    """List the registrations; without secrets, and without ids of sessions, with which anybody could stop them."""
    listed = [status for live in request.app[_LIVE] for status in live.describe()]
    return web.json_response(OrchestratorList(registrations=listed).model_dump())
