"""The HTTP application: Livepeer's runner routes, streams, health, the API description and the embedded trickle server.

Every JSON path also answers with a trailing slash, always with a JSON content type: the network's Go client
dereferences a field that stays nil otherwise (live runner contract 1.1).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from ..errors import RunnerError
from ..stream import Runner, StreamRequest
from ..trickle import TrickleServer
from ..webrtc import PeerOptions
from . import hardware, live_routes, metrics, page, schemas, webrtc_routes
from .bodies import MAX_BODY_BYTES, json_object
from .live_gate import VERIFIED, confine
from .live_runner import LiveRunner
from .openapi import Route, describe
from .playground_ws import Playground

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerOptions:
    """Identity and access, read from flags and environment by the command line.

    :param pipeline: echoed by ``/version`` and ``/hardware/*``; must equal the orchestrator's configuration
    :param model_id: the same
    :param version: the same; orchestrators with a minimum version reject ``undefined``
    :param auth_token: when not empty, starting and changing streams needs ``Authorization: Bearer <it>``
    :param peers: how WebRTC connections are made
    """

    pipeline: str = "live-video-to-video"
    model_id: str = ""
    version: str = "undefined"
    auth_token: str = ""
    peers: PeerOptions = field(default_factory=PeerOptions)


RUNNER = web.AppKey("runner", Runner)
OPTIONS = web.AppKey("options", ServerOptions)
DOCUMENT: web.AppKey[dict[str, Any]] = web.AppKey("document", dict)
METRICS = web.AppKey("metrics", metrics.Registry)


def create_app(
    runner: Runner,
    options: ServerOptions,
    trickle: TrickleServer | None = None,
    live: LiveRunner | None = None,
) -> web.Application:
    """Return the application; `runner` is started and closed by the caller, who owns the workers."""
    app = web.Application(
        middlewares=[_json_errors, confine(live), _check_token], client_max_size=MAX_BODY_BYTES
    )
    app[RUNNER], app[OPTIONS] = runner, options
    app[METRICS] = metrics.registry(runner, options.version)
    live_routes.attach(app, runner, live)
    webrtc_routes.attach(app, runner, options.peers, options.auth_token)
    routes = api_routes()
    app[DOCUMENT] = describe(routes, with_token=bool(options.auth_token))
    for route in routes:
        _add(app, route)
    _add_playground(app, Playground(runner, options.auth_token))
    if trickle is not None:
        trickle.attach(app)
    return app


def _add_playground(app: web.Application, playground: Playground) -> None:
    app.router.add_get("/", page.show)
    app.router.add_get("/playground/session", playground.handle)
    app.router.add_get("/playground/{name}", page.file)
    app.on_shutdown.append(playground.close_all)


def _add(app: web.Application, route: Route) -> None:
    for path in (route.path, f"{route.path}/"):
        app.router.add_route(route.method, path, route.handler)


def api_routes() -> list[Route]:
    """Return the documented JSON routes."""
    live, operate = ("livepeer",), ("streams",)
    return [
        Route("GET", "/health", health, "State of the runner", schemas.HealthResponse, tags=live),
        Route("GET", "/version", version, "Configured identity", schemas.VersionResponse, tags=live),
        Route("GET", "/hardware/info", hardware_info, "GPUs", schemas.HardwareInfoResponse, tags=live),
        Route(
            "GET",
            "/hardware/stats",
            hardware_stats,
            "Load of the GPUs",
            schemas.HardwareStatsResponse,
            tags=live,
        ),
        Route(
            "POST",
            "/live-video-to-video",
            live_video_to_video,
            "Start a stream between trickle channels",
            schemas.LiveVideoToVideoResponse,
            schemas.LiveVideoToVideoParams,
            errors=(400, 401, 422, 500),
            needs_token=True,
            tags=live,
        ),
        Route("GET", "/pipelines", pipelines, "What this runner serves", schemas.PipelineList, tags=operate),
        Route(
            "GET",
            "/streams",
            streams,
            "All live streams, and the last ones that ended",
            schemas.StreamList,
            tags=operate,
        ),
        Route(
            "GET",
            "/streams/{id}",
            stream,
            "One live stream",
            schemas.StreamStatus,
            errors=(404,),
            tags=operate,
        ),
        Route(
            "PATCH",
            "/streams/{id}/params",
            patch_params,
            "Change a stream's parameters; keys that are left out keep their values",
            schemas.ParamsApplied,
            schemas.ParamsUpdate,
            errors=(400, 401, 404, 422, 429, 500),
            needs_token=True,
            tags=operate,
        ),
        Route(
            "DELETE",
            "/streams/{id}",
            delete_stream,
            "End a stream",
            schemas.StreamStatus,
            errors=(401, 404),
            needs_token=True,
            tags=operate,
        ),
        Route("GET", "/openapi.json", openapi_json, "This description", tags=operate),
        Route("GET", "/metrics", show_metrics, "Prometheus metrics", content_type="text/plain", tags=operate),
        *live_routes.live_routes(),
        *webrtc_routes.webrtc_routes(),
    ]


# --- handlers -------------------------------------------------------------------------------------------------


async def health(request: web.Request) -> web.Response:
    """Answer at once, also while a pipeline loads."""
    return _json({"status": request.app[RUNNER].health()})


async def version(request: web.Request) -> web.Response:
    """Echo the configured identity."""
    return _json(_identity(request) | {"version": request.app[OPTIONS].version})


async def hardware_info(request: web.Request) -> web.Response:
    """Describe the GPUs."""
    return _json(schemas.HardwareInfoResponse(**_identity(request), gpu_info=hardware.gpu_info()))


async def hardware_stats(request: web.Request) -> web.Response:
    """Tell the GPUs' load."""
    return _json(schemas.HardwareStatsResponse(**_identity(request), gpu_stats=hardware.gpu_stats()))


async def live_video_to_video(request: web.Request) -> web.Response:
    """Admit and start a stream; answers before its first frame."""
    body = schemas.LiveVideoToVideoParams.model_validate(await json_object(request))
    started = await request.app[RUNNER].start_stream(StreamRequest(**body.model_dump()))
    return _json(schemas.LiveVideoToVideoResponse(request_id=started.id, manifest_id=body.manifest_id))


async def pipelines(request: web.Request) -> web.Response:
    """List what the workers run."""
    return _json({"pipelines": request.app[RUNNER].describe_pipelines()})


async def streams(request: web.Request) -> web.Response:
    """List the live streams, and how the last ones ended."""
    runner = request.app[RUNNER]
    return _json({"streams": [s.status() for s in runner.streams.values()], "ended": list(runner.ended)})


async def stream(request: web.Request) -> web.Response:
    """Describe one live stream."""
    return _json(_stream(request).status())


async def patch_params(request: web.Request) -> web.Response:
    """Merge the given keys into the running parameters and apply the whole."""
    changes = schemas.ParamsUpdate.model_validate(await json_object(request)).model_dump()
    return _json(await _stream(request).patch_params(changes))


async def delete_stream(request: web.Request) -> web.Response:
    """End one stream and return its last status."""
    one = _stream(request)
    await request.app[RUNNER].stop_stream(one.id, "stopped by request")
    return _json(one.status())


async def openapi_json(request: web.Request) -> web.Response:
    """Publish the API description."""
    return _json(request.app[DOCUMENT])


async def show_metrics(request: web.Request) -> web.Response:
    """Expose the metrics as text."""
    text = metrics.render(request.app[METRICS])
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})


# --- helpers --------------------------------------------------------------------------------------------------


def _json(body: BaseModel | dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(body.model_dump() if isinstance(body, BaseModel) else body, status=status)


def _identity(request: web.Request) -> dict[str, str]:
    options = request.app[OPTIONS]
    return {"pipeline": options.pipeline, "model_id": options.model_id}


def _stream(request: web.Request) -> Any:
    wanted = request.match_info["id"]
    found = request.app[RUNNER].streams.get(wanted)
    if found is None:
        raise web.HTTPNotFound(text=f"no stream {wanted!r}; GET /streams lists the live ones")
    return found


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _json_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn every failure outside the trickle routes (plain text there) into the contract's JSON shapes."""
    if request.path.startswith("/ai/trickle"):
        return await handler(request)
    try:
        return await handler(request)
    except ValidationError as error:
        items = [{"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
        return _json({"detail": items}, 422)
    except RunnerError as error:
        log.log(logging.WARNING if error.http_status < 500 else logging.ERROR, "%s", error)
        return _json({"detail": {"msg": str(error)}}, error.http_status)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _json({"detail": {"msg": error.text or error.reason}}, error.status)
        response.headers.update(
            {name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers}
        )
        return response
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return _json({"detail": {"msg": "internal error; the runner's log has the traceback"}}, 500)


_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
_TOKEN_FREE = {"GET", "HEAD", "OPTIONS"}


@web.middleware
async def _check_token(request: web.Request, handler: _Handler) -> web.StreamResponse:
    token = request.app[OPTIONS].auth_token
    if (
        VERIFIED in request
        or not token
        or request.method in _TOKEN_FREE
        or request.path.startswith("/ai/trickle")
    ):
        return await handler(request)
    if request.headers.get("Authorization") == f"Bearer {token}":
        return await handler(request)
    return web.json_response(
        {"detail": {"msg": "Invalid bearer token"}}, status=401, headers={"WWW-Authenticate": "Bearer"}
    )
