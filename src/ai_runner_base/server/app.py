"""The HTTP application: Livepeer's runner routes, streams, health, the API description and the embedded trickle server.

Every JSON path also answers with a trailing slash, always with a JSON content type: the network's Go client
dereferences a field that stays nil otherwise (live runner contract 1.1).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..stream import Runner
from ..trickle import TrickleServer
from . import live_routes, metrics, page, webrtc_routes
from .access import guard
from .answers import json_answer, json_errors
from .bodies import MAX_BODY_BYTES
from .contract_routes import contract_routes
from .live_gate import confine
from .live_runner import LiveRunner
from .openapi import Route, describe
from .options import OPTIONS, RUNNER, ServerOptions
from .playground_ws import Playground
from .stream_routes import stream_routes
from .webrtc_sessions import WebrtcSessions

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
        middlewares=[json_errors, confine(live), guard(options.auth_token)], client_max_size=MAX_BODY_BYTES
    )
    app[RUNNER], app[OPTIONS] = runner, options
    app[METRICS] = metrics.registry(runner, options.version)
    live_routes.attach(app, live)
    webrtc = WebrtcSessions(runner, options.peers)
    webrtc_routes.attach(app, webrtc, options.auth_token)
    _add_routes(app)
    _add_playground(app, Playground(webrtc, options.auth_token))
    if trickle is not None:
        trickle.attach(app)
    return app


def api_routes() -> list[Route]:
    """Return the documented routes."""
    about = ("streams",)
    return [
        *contract_routes(),
        *stream_routes(),
        Route("GET", "/openapi.json", openapi_json, "This description", tags=about),
        Route("GET", "/metrics", show_metrics, "Prometheus metrics", content_type="text/plain", tags=about),
        *live_routes.live_routes(),
        *webrtc_routes.webrtc_routes(),
    ]


async def openapi_json(request: web.Request) -> web.Response:
    """Publish the API description."""
    return json_answer(request.app[DOCUMENT])


async def show_metrics(request: web.Request) -> web.Response:
    """Expose the metrics as text."""
    text = metrics.render(request.app[METRICS])
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})


def _add_routes(app: web.Application) -> None:
    routes = api_routes()
    app[DOCUMENT] = describe(routes, with_token=bool(app[OPTIONS].auth_token))
    for route in routes:
        for path in (route.path, f"{route.path}/"):
            app.router.add_route(route.method, path, route.handler)


def _add_playground(app: web.Application, playground: Playground) -> None:
    app.router.add_get("/", page.show)
    app.router.add_get("/playground/session", playground.handle)
    app.router.add_get("/playground/{name}", page.file)
    app.on_shutdown.append(playground.close_all)
