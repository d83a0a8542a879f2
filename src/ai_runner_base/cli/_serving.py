"""What `ai-runner serve` starts: the address, the workers, the application; and their orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import click
from aiohttp import web

from .. import __version__
from ..catalog import Catalog, InstalledPipeline, activation_environment
from ..errors import CallerError, HostError
from ..server import ServerOptions, create_app
from ..stream import Connector, Pool, Runner, Seat
from ..supervisor import Supervisor, SupervisorOptions, WorkerEvent, WorkerSpec
from ..trickle import ClientOptions, TrickleServer, client_session
from ..trickle import ServerOptions as TrickleOptions

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
    host: str
    port: int
    server: ServerOptions
    client: ClientOptions
    load_timeout_s: float


# --- which workers ------------------------------------------------------------------------------------------------


def find_named(catalog: Catalog, text: str) -> InstalledPipeline:
    """Return the pipeline that ``NAME`` or ``NAME@ENVIRONMENT`` means.

    :raises CallerError: there is none
    """
    name, _, environment = text.partition("@")
    return catalog.find(name, environment or None)


def choose(names: tuple[str, ...], catalog: Catalog) -> list[InstalledPipeline]:
    """Return the pipelines to serve.

    :raises CallerError: an unknown or repeated one, or none named while several (or none) are installed
    """
    if not names and len(catalog.names) != 1:
        raise CallerError(
            f"which pipeline? installed: {', '.join(catalog.names) or 'none'}",
            hint="name one with --pipeline or MODEL_ID"
            if catalog.names
            else "install a pipeline's package first",
        )
    chosen = [find_named(catalog, name) for name in names or catalog.names]
    repeated = [name for name, n in Counter(item.name for item in chosen).items() if n > 1]
    if repeated:
        raise CallerError(
            f"pipeline {repeated[0]!r} is named twice", hint=f"use --workers {repeated[0]}=2 for two workers"
        )
    return chosen


def make_pool(
    options: ServeOptions, chosen: list[InstalledPipeline], on_event: Callable[[Seat, WorkerEvent], None]
) -> Pool:
    """Return a seat for each wanted worker; nothing is started."""
    unknown = set(options.workers) - {item.name for item in chosen}
    if unknown:
        raise CallerError(
            f"--workers names {', '.join(sorted(unknown))}, which is not served", hint="add --pipeline for it"
        )
    counted = [item for item in chosen for _ in range(options.workers.get(item.name, 1))]
    return Pool([_seat(options, item, on_event) for item in counted])


def _seat(
    options: ServeOptions, item: InstalledPipeline, on_event: Callable[[Seat, WorkerEvent], None]
) -> Seat:
    limits = SupervisorOptions(load_timeout_s=options.load_timeout_s)
    seat = Seat(
        item.name, Supervisor(worker_spec(item), limits, on_event=lambda event: on_event(seat, event))
    )
    return seat


def worker_spec(item: InstalledPipeline) -> WorkerSpec:
    """Say how to run an installed pipeline: in its own prefix, with that prefix's activation environment."""
    package, version = (item.conda.name, item.conda.version) if item.conda else (item.package, item.version)
    env = activation_environment(item.prefix, os.environ)
    return WorkerSpec(item.prefix, item.entry_point, item.name, package, version, env)


# --- serving ------------------------------------------------------------------------------------------------------


async def serve(options: ServeOptions, catalog: Catalog) -> None:
    """Serve until a signal asks to stop."""
    chosen = choose(options.names, catalog)
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    stopping = _stop_on_signals()
    async with client_session() as http:
        trickle = TrickleServer(options=TrickleOptions(autocreate=True))
        connector = Connector(http, options.client, embedded=trickle, embedded_origins=_origins(host, port))
        runner = Runner(
            make_pool(options, chosen, lambda seat, event: runner.on_worker_event(seat, event)),
            connector.connect,
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
    """Return how callers on this machine may write our address; its trickle channels need no HTTP then."""
    names = {host, *LOOPBACK} if host in (*LOOPBACK, *ANY_ADDRESS) else {host}
    return tuple(f"http://{f'[{name}]' if ':' in name else name}:{port}" for name in sorted(names))


def _welcome(host: str, port: int, runner: Runner) -> str:
    shown = "127.0.0.1" if host in ANY_ADDRESS else host
    names, address = ", ".join(runner.pool.names), f"http://{shown}:{port}/"
    return f"ai-runner {__version__} serves {names} at {address}  (open it in a browser; Ctrl-C stops)"
