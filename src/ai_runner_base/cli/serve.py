"""`ai-runner serve`: the runner with its HTTP API, its workers and its own trickle server."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..catalog import Catalog
from ..server import ServerOptions
from ..trickle import ClientOptions, TlsPolicy
from ..webrtc import IceServer, PeerOptions
from ._auto_install import AutoInstall, add_names, auto_install, auto_install_options
from ._logging import never_waiting
from ._options import environments_option, examples
from ._orchestrators import orchestrator_options, read_orchestrators, tls_policy
from ._preference import ENOUGH_FPS, Preference
from ._serving import LOOPBACK, ServeOptions, serve
from ._workers import WorkerOptions, choose
from .prepare import prepare

log = logging.getLogger(__name__)

MAX_WORKERS = 64


def _workers(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        name, _, number = value.partition("=")
        if not number.isdigit() or not 1 <= int(number) <= MAX_WORKERS:
            raise click.BadParameter(f"{value!r} is not NAME=N with N from 1 to {MAX_WORKERS}")
        counts[name] = int(number)
    return counts


def _tls(_ctx: click.Context, _param: click.Parameter, value: str) -> TlsPolicy:
    return tls_policy(value)


def _ice_servers(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[IceServer, ...]:
    for value in values:
        if not value.startswith(("stun:", "turn:", "turns:")) or value.count(",") not in (0, 2):
            raise click.BadParameter("an ICE server is stun:HOST or turn:HOST:PORT,USER,PASSWORD")
    return tuple(IceServer(*value.split(",")) for value in values)


@click.command(
    name="serve",
    epilog=examples(
        "ai-runner serve --pipeline effects",
        "ai-runner serve --pipeline effects --pipeline noop@other --workers effects=2",
        "AUTH_TOKEN=… ai-runner serve --pipeline effects --host 0.0.0.0",
    ),
)
@click.option(
    "--pipeline",
    "names",
    multiple=True,
    metavar="NAME[@ENVIRONMENT]|NAME=MODULE:OBJECT",
    help="Pipeline to serve; repeatable. Default: MODEL_ID, else the first of --prefer that is fast enough, "
    "else the only one that is installed.",
)
@click.option(
    "--prefer",
    multiple=True,
    envvar="AI_RUNNER_PREFER",
    metavar="NAME",
    help=f"When no pipeline is named: serve the first of these that holds {ENOUGH_FPS:g} fps at 640x480 on this "
    "host, else the last; repeatable. Measured once.",
)
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Measure for --prefer what was not measured yet; else it counts as too slow.",
)
@click.option(
    "--workers",
    multiple=True,
    callback=_workers,
    metavar="NAME=N",
    help="Workers of a pipeline, one stream each. Default: 1.",
)
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    envvar="PORT",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--auth-token", envvar="AUTH_TOKEN", default="", help="Bearer token that changing requests need."
)
@click.option(
    "--identity-pipeline",
    envvar="PIPELINE",
    default="live-video-to-video",
    show_default=True,
    help="`pipeline` in /version and /hardware/info.",
)
@click.option(
    "--model-id",
    envvar="MODEL_ID",
    default="",
    help="`model_id` there; also the pipeline to serve when none is named.",
)
@click.option(
    "--identity-version", envvar="VERSION", default=__version__, show_default=True, help="`version` there."
)
@click.option(
    "--tls",
    envvar="AI_RUNNER_TLS",
    default="verify",
    callback=_tls,
    metavar="verify|insecure|SHA256",
    help="Trickle peers' certificates: judged by the system, not at all, or by a pinned fingerprint.",
)
@click.option(
    "--load-timeout",
    type=click.FloatRange(1),
    default=180.0,
    show_default=True,
    help="Seconds that a pipeline may take to load.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds that live streams may go on after SIGTERM; a second one ends them.",
)
@click.option(
    "--on-demand",
    type=click.IntRange(0, MAX_WORKERS),
    default=0,
    show_default=True,
    help="Workers beyond these, started when a stream asks for another installed pipeline.",
)
@click.option(
    "--gpus",
    envvar="AI_RUNNER_GPUS",
    default="",
    metavar="ID[,ID…]",
    help="CUDA devices dealt out to the workers in turn.",
)
@click.option(
    "--encoder",
    envvar="AI_RUNNER_ENCODER",
    default="auto",
    show_default=True,
    help="Of live streams: auto (a GPU's where it opens), software, or FFmpeg's name of one.",
)
@click.option(
    "--decoder",
    envvar="AI_RUNNER_DECODER",
    default="auto",
    show_default=True,
    help="Of live streams: auto (a GPU's where it works), software, or FFmpeg's type of a device.",
)
@click.option(
    "--max-fps", type=click.FloatRange(0), default=0.0, help="Drop input frames above this rate; 0: none."
)
@click.option(
    "--ice-server",
    "ice_servers",
    multiple=True,
    envvar="AI_RUNNER_ICE_SERVERS",
    callback=_ice_servers,
    metavar="URL[,USER,PASSWORD]",
    help="STUN or TURN server for WebRTC; repeatable. Default: none, which is enough on one network.",
)
@click.option(
    "--prepare-models",
    is_flag=True,
    envvar="PREPARE_MODELS",
    help="Prepare the pipelines, as `ai-runner prepare` does, and exit.",
)
@auto_install_options
@orchestrator_options
@environments_option
def command(names: tuple[str, ...], environments: tuple[Path, ...], **flags: Any) -> None:
    """Serve pipelines: live streams in and out, /health at once, one line that says where.

    Listens on the loopback interface only, unless --host says otherwise.
    """
    names = names or tuple(filter(None, [flags["model_id"]]))
    if flags["host"] not in LOOPBACK and not flags["auth_token"]:
        log.warning(
            "listening on %s without --auth-token: whoever reaches the port can use it", flags["host"]
        )
    names = add_names(names, auto_install(AutoInstall.read(flags)))
    options, catalog = _options(names, flags), Catalog.scan(also=environments)
    if flags["prepare_models"]:
        preference = None if names else Preference.among(flags["prefer"], catalog)
        for installed in preference.items if preference else choose(names, catalog):
            prepare(installed)
        return
    with never_waiting():
        asyncio.run(serve(options, catalog))


def _options(names: tuple[str, ...], flags: dict[str, Any]) -> ServeOptions:
    first = re.split("[@=]", names[0])[0] if names else ""
    identity = ServerOptions(
        pipeline=flags["identity_pipeline"],
        model_id=flags["model_id"] or first,
        version=flags["identity_version"],
        auth_token=flags["auth_token"],
        peers=PeerOptions(ice_servers=flags["ice_servers"]),
    )
    return ServeOptions(
        workers=WorkerOptions(
            names=names,
            counts=flags["workers"],
            load_timeout_s=flags["load_timeout"],
            gpus=tuple(filter(None, flags["gpus"].split(","))),
            on_demand=flags["on_demand"],
        ),
        host=flags["host"],
        port=flags["port"],
        server=identity,
        client=ClientOptions(tls=flags["tls"]),
        drain_timeout_s=flags["drain_timeout"],
        max_fps=flags["max_fps"],
        encoder=flags["encoder"],
        decoder=flags["decoder"],
        orchestrators=read_orchestrators(flags),
        prefer=flags["prefer"],
        measure=flags["measure"],
    )
