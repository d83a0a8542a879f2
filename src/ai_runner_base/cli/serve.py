"""`ai-runner serve`: the runner with its HTTP API, its workers and its own trickle server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from aiohttp import web

from .. import __version__
from ..catalog import Catalog, InstalledPipeline, activation_environment
from ..errors import CallerError, HostError
from ..server import ServerOptions, create_app
from ..stream import Connector, Pool, Runner, Seat
from ..supervisor import Supervisor, SupervisorOptions, WorkerEvent, WorkerSpec
from ..trickle import ClientOptions, TlsPolicy, TrickleServer, client_session
from ..trickle import ServerOptions as TrickleOptions
from ._options import environments_option

log = logging.getLogger(__name__)

SHUTDOWN_LIMIT_S = 3.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class ServeOptions:
    """What flags and environment said, read once."""

    names: tuple[str, ...]
    """Pipelines as ``NAME`` or ``NAME@ENVIRONMENT``; the first is the default one."""
    workers: dict[str, int]
    environments: tuple[Path, ...]
    host: str
    port: int
    server: ServerOptions
    client: ClientOptions
    load_timeout_s: float


def _workers(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        name, _, number = value.partition("=")
        if not number.isdigit() or not 1 <= int(number) <= 64:
            raise click.BadParameter(f"{value!r} is not NAME=N with N from 1 to 64")
        counts[name] = int(number)
    return counts


def _tls(_ctx: click.Context, _param: click.Parameter, value: str) -> TlsPolicy:
    if value == "verify":
        return TlsPolicy.verify()
    return TlsPolicy.insecure() if value == "insecure" else TlsPolicy.pinned(value)


@click.command(name="serve")
@click.option("--pipeline", "names", multiple=True, metavar="NAME[@ENVIRONMENT]",
              help="Pipeline to serve; repeatable. Default: MODEL_ID, else the only one that is installed.")
@click.option("--workers", multiple=True, callback=_workers, metavar="NAME=N",
              help="Workers of a pipeline, one stream each. Default: 1.")
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", envvar="PORT", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one.")
@click.option("--auth-token", envvar="AUTH_TOKEN", default="", help="Bearer token that changing requests need.")
@click.option("--identity-pipeline", envvar="PIPELINE", default="live-video-to-video", show_default=True,
              help="`pipeline` in /version and /hardware/info.")
@click.option("--model-id", envvar="MODEL_ID", default="", help="`model_id` there; also the pipeline to serve when none is named.")
@click.option("--identity-version", envvar="VERSION", default=__version__, show_default=True, help="`version` there.")
@click.option("--tls", default="verify", callback=_tls, envvar="AI_RUNNER_TLS", metavar="verify|insecure|SHA256",
              help="How certificates of trickle peers are judged: by the system's authorities, not at all, or by a pinned fingerprint.")
@click.option("--load-timeout", "load_timeout_s", type=click.FloatRange(1), default=180.0, show_default=True, help="Seconds a pipeline may take to load.")
@environments_option
def command(names: tuple[str, ...], workers: dict[str, int], host: str, port: int, auth_token: str, identity_pipeline: str,
            model_id: str, identity_version: str, tls: TlsPolicy, load_timeout_s: float, environments: tuple[Path, ...]) -> None:
    """Serve pipelines: live streams in and out, /health at once, one line that says where.

    Listens on the loopback interface only, unless --host says otherwise.
    """
    names = names or tuple(filter(None, [model_id]))
    options = ServeOptions(
        names,
        workers,
        environments,
        host,
        port,
        ServerOptions(identity_pipeline, model_id or (names[0].partition("@")[0] if names else ""), identity_version, auth_token),
        ClientOptions(tls=tls),
        load_timeout_s,
    )
    if host not in LOOPBACK and not auth_token:
        log.warning("listening on %s without a token: anybody who reaches this port can use it (--auth-token)", host)
    asyncio.run(_serve(options, Catalog.scan(also=environments)))


def choose(options: ServeOptions, catalog: Catalog) -> list[InstalledPipeline]:
    """Return the pipelines to serve.

    :raises CallerError: an unknown one, or none named while several (or none) are installed
    """
    if options.names:
        return [catalog.find(*_name_and_environment(name)) for name in options.names]
    if len(catalog.names) != 1:
        raise CallerError(
            f"which pipeline? installed: {', '.join(catalog.names) or 'none'}",
            hint="name one with --pipeline or MODEL_ID" if catalog.names else "install a pipeline's package first",
        )
    return [catalog.find(catalog.names[0])]


def _name_and_environment(text: str) -> tuple[str, str | None]:
    name, _, environment = text.partition("@")
    return name, environment or None


def make_pool(options: ServeOptions, chosen: list[InstalledPipeline], on_event: Callable[[Seat, WorkerEvent], None]) -> Pool:
    """Return a seat for each wanted worker; nothing is started."""
    unknown = set(options.workers) - {item.name for item in chosen}
    if unknown:
        raise CallerError(f"--workers names {', '.join(sorted(unknown))}, which is not served", hint="add --pipeline for it")
    repeated = [name for name, n in Counter(item.name for item in chosen).items() if n > 1]
    if repeated:
        raise CallerError(f"pipeline {repeated[0]!r} is named twice", hint=f"use --workers {repeated[0]}=2 for two workers")
    return Pool([_seat(options, item, on_event) for item in chosen for _ in range(options.workers.get(item.name, 1))])


def _seat(options: ServeOptions, item: InstalledPipeline, on_event: Callable[[Seat, WorkerEvent], None]) -> Seat:
    package, version = (item.conda.name, item.conda.version) if item.conda else (item.package, item.version)
    env = activation_environment(item.prefix, os.environ)
    spec = WorkerSpec(item.prefix, item.entry_point, item.name, package, version, env)
    limits = SupervisorOptions(load_timeout_s=options.load_timeout_s)
    seat = Seat(item.name, Supervisor(spec, limits, on_event=lambda event: on_event(seat, event)))
    return seat


async def _serve(options: ServeOptions, catalog: Catalog) -> None:
    chosen = choose(options, catalog)
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    stopping = _stop_on_signals()
    async with client_session() as http:
        trickle = TrickleServer(options=TrickleOptions(autocreate=True))
        connector = Connector(http, options.client, embedded=trickle, embedded_origins=_origins(host, port))
        runner = Runner(
            make_pool(options, chosen, lambda seat, event: runner.on_worker_event(seat, event)), connector.connect
        )
        app = web.AppRunner(
            create_app(runner, options.server, trickle), access_log=None, shutdown_timeout=SHUTDOWN_LIMIT_S
        )
        try:
            await app.setup()
            await web.SockSite(app, listener).start()
            await runner.start()
            click.echo(_welcome(host, port, runner))
            await stopping.wait()
            log.info("stopping")
        finally:
            await runner.aclose()
            await app.cleanup()


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything is started.

    :raises HostError: it is taken, not ours, or not allowed
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise HostError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="if another program has the port choose one with --port, or 0 for any free one",
        ) from error


def _stop_on_signals() -> asyncio.Event:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _origins(host: str, port: int) -> tuple[str, ...]:
    """Return how callers on this machine may write our own address; its trickle channels need no HTTP then."""
    names = {host, *LOOPBACK} if host in (*LOOPBACK, *ANY_ADDRESS) else {host}
    return tuple(f"http://{f'[{name}]' if ':' in name else name}:{port}" for name in sorted(names))


def _welcome(host: str, port: int, runner: Runner) -> str:
    shown = "127.0.0.1" if host in ANY_ADDRESS else host
    names = ", ".join(runner.pool.names)
    return f"ai-runner {__version__} serves {names} at http://{shown}:{port}/  (open it in a browser; Ctrl-C stops)"
