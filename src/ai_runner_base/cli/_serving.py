"""What `ai-runner serve` starts: the address, the workers, the application; and their orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import click
from aiohttp import ClientSession, web

from .. import __version__
from ..catalog import Catalog, InstalledPipeline
from ..errors import HostError
from ..media import (
    DecoderOptions,
    LiveDecoder,
    LiveEncoderOptions,
    VideoEncoderOptions,
    pick_live_encoder,
)
from ..server import LiveRunner, ServerOptions, create_app
from ..stream import Connector, Runner, Seat
from ..supervisor import WorkerEvent
from ..trickle import ClientOptions, TrickleServer, client_session
from ..trickle import ServerOptions as TrickleOptions
from ._orchestrators import OrchestratorOptions, make_live_runner
from ._preference import Preference
from ._workers import WorkerOptions, choose, make_pool, make_seats

log = logging.getLogger(__name__)

T = TypeVar("T")

SHUTDOWN_LIMIT_S = 3.0
HEADER_LIMIT_BYTES = 64 << 10
"""Payment tickets of an orchestrator's clients come in headers and are longer than 8 KiB."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class ServeOptions:
    """What flags and environment said, read once."""

    workers: WorkerOptions
    """Without names: the first of `prefer` that is fast enough here."""
    host: str
    port: int
    server: ServerOptions
    client: ClientOptions
    drain_timeout_s: float = 0.0
    """After the first signal, live streams may go on for this long; a second signal ends the wait."""
    max_fps: float = 0.0
    """Input frames above this rate are dropped by their PTS; 0: none."""
    encoder: str = "auto"
    """Of live streams: ``auto`` (hardware where it opens), ``software``, or FFmpeg's name of one."""
    decoder: str = "auto"
    """Likewise; a device is named as FFmpeg names its type: ``cuda``, ``vaapi``, ``videotoolbox``."""
    orchestrators: OrchestratorOptions | None = None
    prefer: tuple[str, ...] = ()
    """Pipelines to choose from when none is named, the most wanted first."""
    measure: bool = True
    """Whether a choice may wait for a measurement; else what was not measured counts as too slow."""


class Companion(Protocol):
    """Somebody who works beside the serving."""

    async def attend(self, runner: Runner) -> None:
        """Work from the start of the workers on, until cancelled."""

    def hear(self, event: WorkerEvent) -> WorkerEvent:
        """Take note of an event; what is returned is told in its place."""


async def serve(options: ServeOptions, catalog: Catalog, companion: Companion | None = None) -> None:
    """Serve until a signal asks to stop."""
    chosen, trial = _choose(options, catalog)
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    signals = _Signals()

    def on_event(seat: Seat, event: WorkerEvent) -> None:
        runner.on_worker_event(seat, companion.hear(event) if companion else event)

    async with client_session() as http:
        trickle = TrickleServer(options=TrickleOptions(autocreate=True))
        connector = _connector(options, http, trickle, _origins(host, port))
        pool = make_pool(options.workers, chosen, catalog, on_event, settled=trial is None)
        runner = Runner(pool, connector.connect)
        live = make_live_runner(options.orchestrators, chosen, runner, connector, http, (host, port))
        app = web.AppRunner(
            create_app(runner, options.server, trickle, live),
            access_log=None,
            shutdown_timeout=SHUTDOWN_LIMIT_S,
            max_field_size=HEADER_LIMIT_BYTES,
        )
        try:
            await _answer(app, listener)
            if trial is not None:
                found = await signals.unless_told(trial.find(_tell))
                if found is None:
                    return
                pool.settle(make_seats(options.workers, [found], on_event))
            await _start(runner, live)
            click.echo(_welcome(host, port, runner))
            async with _accompanied(companion, runner):
                await _until_told(signals, runner, live, options.drain_timeout_s)
        finally:
            await _stop(app, runner, live)


def _choose(options: ServeOptions, catalog: Catalog) -> tuple[list[InstalledPipeline], Preference | None]:
    """Return what to serve; and, where that must be measured first, among which it is to be found.

    Orchestrators are told at once what is served here: for them nothing is measured.
    """
    preference = None if options.workers.names else Preference.among(options.prefer, catalog)
    if preference is None:
        return choose(options.workers.names, catalog), None
    known = preference.known()
    if known is None and options.measure and options.orchestrators is None:
        return [preference.items[0]], preference
    return [known or preference.items[-1]], None


def _connector(
    options: ServeOptions, http: ClientSession, trickle: TrickleServer, origins: tuple[str, ...]
) -> Connector:
    video = VideoEncoderOptions(codec=pick_live_encoder(options.encoder))
    decoder = LiveDecoder(options.decoder)
    return Connector(
        http,
        options.client,
        LiveEncoderOptions(video=video),
        decoder=lambda: DecoderOptions(device=decoder.device),
        embedded=trickle,
        embedded_origins=origins,
        max_fps=options.max_fps,
    )


async def _answer(app: web.AppRunner, listener: socket.socket) -> None:
    """Answer first, then measure and load: `/health` tells how far that is."""
    await app.setup()
    await web.SockSite(app, listener).start()


def _tell(line: str) -> None:
    """Standard output is for the one line that says where."""
    click.echo(line, err=True)


async def _start(runner: Runner, live: LiveRunner | None) -> None:
    await runner.start()
    if live is not None:
        await live.start()


@contextlib.asynccontextmanager
async def _accompanied(companion: Companion | None, runner: Runner) -> AsyncIterator[None]:
    if companion is None:
        yield
        return
    task = asyncio.create_task(companion.attend(runner), name="companion")
    task.add_done_callback(log_failure)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def log_failure(task: asyncio.Task[None]) -> None:
    """Say that a task beside the serving has failed, which nobody awaits before the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("serving goes on without what ran beside it", exc_info=error)


async def _until_told(
    signals: _Signals, runner: Runner, live: LiveRunner | None, drain_timeout_s: float
) -> None:
    notify("READY=1")
    await signals.wait()
    log.info("stopping")
    notify("STOPPING=1")
    await _drain(runner, live, signals, drain_timeout_s)


async def _stop(app: web.AppRunner, runner: Runner, live: LiveRunner | None) -> None:
    await asyncio.gather(runner.aclose(), *([live.leave()] if live else []))
    if live is not None:
        await live.aclose()
    await app.cleanup()


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything is started.

    :raises HostError: it is taken, not ours, or not allowed
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # create_server repeats the address behind the reason.
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        raise HostError(f"cannot listen on {host}:{port}: {reason}", hint=_listen_hint(error)) from error


def _listen_hint(error: OSError) -> str:
    if error.errno in (errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_AGAIN):
        return "--host must be an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for all of its own"
    if error.errno == errno.EACCES:
        return "ports below 1024 need a privilege; choose another one with --port"
    return "if another program has the port choose one with --port, or 0 for any free one"


class _Signals:
    """Counts the requests to stop: Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[int] = asyncio.Queue()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._arrived.put_nowait, number)

    async def wait(self) -> None:
        """Wait for the next one."""
        await self._arrived.get()

    async def unless_told(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do some work; None if a request to stop came first, and the work was given up."""
        working = asyncio.create_task(work, name="before serving")
        told = asyncio.create_task(self.wait(), name="signal")
        try:
            await asyncio.wait([working, told], return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            for task in (working, told):
                task.cancel()
            await asyncio.gather(working, told, return_exceptions=True)


async def _drain(runner: Runner, live: LiveRunner | None, signals: _Signals, limit_s: float) -> None:
    if limit_s <= 0:
        return
    if live is not None:
        live.drain()
    draining = asyncio.create_task(runner.drain(limit_s), name="drain")
    impatient = asyncio.create_task(signals.wait(), name="second signal")
    await asyncio.wait([draining, impatient], return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, impatient):
        task.cancel()
    await asyncio.gather(draining, impatient, return_exceptions=True)


def notify(message: str) -> None:
    """Tell a service manager (``sd_notify``, Type=notify); silent where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", message, error)


def _origins(host: str, port: int) -> tuple[str, ...]:
    """Return how callers on this machine may write our address; its trickle channels need no HTTP then."""
    names = {host, *LOOPBACK} if host in (*LOOPBACK, *ANY_ADDRESS) else {host}
    return tuple(f"http://{f'[{name}]' if ':' in name else name}:{port}" for name in sorted(names))


def _welcome(host: str, port: int, runner: Runner) -> str:
    shown = "127.0.0.1" if host in ANY_ADDRESS else host
    names, address = ", ".join(runner.pool.names), f"http://{shown}:{port}/"
    return f"ai-runner {__version__} serves {names} at {address}  (open it in a browser; Ctrl-C stops)"
