"""Options of `ai-runner serve` that make it a Live Runner, and what is built from them. Off without --orchestrator."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click

from .. import __version__
from ..catalog import InstalledPipeline
from ..errors import CallerError, HostError
from ..orchestrator import PRICE_UNITS, Price, orchestrator_url
from ..server import LiveRunner, LiveRunnerOptions, OrchestratorPeer
from ..stream import Connector, Runner
from ..trickle import TlsPolicy
from ._speeds import Speeds

log = logging.getLogger(__name__)

_Command = TypeVar("_Command", bound=Callable[..., Any])
_T = TypeVar("_T")


@dataclass(frozen=True)
class OrchestratorOptions:
    """What flags and environment said of orchestrators, read once.

    :param secrets: none, one for all, or one for each of `urls`
    :param tls: the same
    :param runner_url: empty: worked out from the address that is listened on
    :param prices: by pipeline, "" for all others
    """

    urls: tuple[str, ...]
    secrets: tuple[str, ...] = field(default=(), repr=False)
    tls: tuple[TlsPolicy, ...] = ()
    runner_url: str = ""
    prices: Mapping[str, Price] = field(default_factory=dict)


def orchestrator_options(command: _Command) -> _Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def tls_policy(value: str) -> TlsPolicy:
    """Read ``verify``, ``insecure`` or a fingerprint.

    :raises CallerError: it is none of them
    """
    if value == "verify":
        return TlsPolicy.verify()
    return TlsPolicy.insecure() if value == "insecure" else TlsPolicy.pinned(value)


def _urls(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(orchestrator_url(value)) for value in values)


def _tls(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[TlsPolicy, ...]:
    return tuple(tls_policy(value) for value in values)


def _secrets(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read each secret from its file when it is the path of one, as go-livepeer does with -orchSecret."""
    return tuple(_secret(value) for value in values)


def _secret(value: str) -> str:
    try:
        is_file = Path(value).is_file()
    except OSError:  # too long for a path
        is_file = False
    secret = Path(value).read_text().strip() if is_file else value.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise click.BadParameter("a secret must be printable ASCII text, or a file with it")
    return secret


def _prices(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, Decimal]:
    prices: dict[str, Decimal] = {}
    for value in values:
        name, _, usd = value.rpartition("=")
        try:
            prices[name] = Decimal(usd)
        except InvalidOperation:
            raise click.BadParameter(f"{value!r} is not USD or NAME=USD") from None
    return prices


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--orchestrator",
        "orchestrators",
        multiple=True,
        envvar="AI_RUNNER_ORCHESTRATORS",
        callback=_urls,
        metavar="URL",
        help="Livepeer orchestrator that may send sessions here; repeatable.",
    ),
    click.option(
        "--orchestrator-secret",
        "orchestrator_secrets",
        multiple=True,
        envvar="ORCH_SECRET",
        callback=_secrets,
        metavar="SECRET|FILE",
        help="Its -orchSecret, to register there; one for all or one for each.",
    ),
    click.option(
        "--orchestrator-tls",
        "orchestrator_tls",
        multiple=True,
        envvar="AI_RUNNER_ORCHESTRATOR_TLS",
        callback=_tls,
        metavar="verify|insecure|SHA256",
        help="How its certificate is judged; one for all or one for each. Default: as --tls.",
    ),
    click.option(
        "--runner-url",
        envvar="AI_RUNNER_URL",
        default="",
        metavar="URL",
        help="Where orchestrators reach this runner. Default: the address that it listens on.",
    ),
    click.option(
        "--price",
        "prices",
        multiple=True,
        envvar="AI_RUNNER_PRICE",
        callback=_prices,
        metavar="[NAME=]USD",
        help="Price of a session, for all pipelines or one; orchestrators on a chain need it.",
    ),
    click.option(
        "--price-unit",
        envvar="AI_RUNNER_PRICE_UNIT",
        type=click.Choice(PRICE_UNITS),
        default=PRICE_UNITS[0],
        show_default=True,
        help="Per hour, per hour of 720p at 30 fps, or fixed per session.",
    ),
)


def read_orchestrators(flags: Mapping[str, Any]) -> OrchestratorOptions | None:
    """Return the options; None without an orchestrator.

    :raises CallerError: they do not fit together
    """
    urls = flags["orchestrators"]
    if not urls:
        if flags["orchestrator_secrets"]:
            log.warning("a secret for orchestrators is set, but no --orchestrator: not registering anywhere")
        return None
    if len(set(urls)) < len(urls):
        raise CallerError("an orchestrator is named twice", hint="give each --orchestrator once")
    return OrchestratorOptions(
        urls=urls,
        secrets=_for_each(urls, flags["orchestrator_secrets"], "--orchestrator-secret", ""),
        tls=_for_each(urls, flags["orchestrator_tls"], "--orchestrator-tls", flags["tls"]),
        runner_url=str(orchestrator_url(flags["runner_url"])) if flags["runner_url"] else "",
        prices={name: Price(usd, flags["price_unit"]) for name, usd in flags["prices"].items()},
    )


def _for_each(urls: tuple[str, ...], values: tuple[_T, ...], option: str, default: _T) -> tuple[_T, ...]:
    if len(values) not in (0, 1, len(urls)):
        raise CallerError(
            f"{len(values)} times {option} for {len(urls)} orchestrators",
            hint="give it once, or once for each",
        )
    return values if len(values) == len(urls) else (values or (default,)) * len(urls)


# --- what is built from them ----------------------------------------------------------------------------------------


def make_live_runner(
    options: OrchestratorOptions | None,
    chosen: Iterable[InstalledPipeline],
    runner: Runner,
    connector: Connector,
    http: aiohttp.ClientSession,
    address: tuple[str, int],
) -> LiveRunner | None:
    """Return the Live Runner side; None where it is off.

    :param address: host and port that are listened on
    :raises CallerError: prices name a pipeline that is not served
    """
    if options is None:
        return None
    chosen = list(chosen)
    unknown = set(options.prices) - {"", *(item.name for item in chosen)}
    if unknown:
        raise CallerError(f"--price names {', '.join(sorted(unknown))}, which is not served")
    peers = tuple(
        OrchestratorPeer(url, options.runner_url or own_url(url, *address), secret, tls)
        for url, secret, tls in zip(options.urls, options.secrets, options.tls, strict=True)
    )
    for peer in peers:
        _warn(peer)
    facts = {item.name: installed_facts(item) for item in chosen}
    costs = {item.name: cost for item in chosen if (cost := measured_cost(item, Speeds()))}
    return LiveRunner(runner, connector, http, LiveRunnerOptions(peers, options.prices, facts, costs))


def own_url(orchestrator: str, host: str, port: int) -> str:
    """Return this runner's address: the one listened on, or for "all of them" the one that faces the orchestrator.

    :raises HostError: the orchestrator's name is not known here
    """
    if host in ("0.0.0.0", "::"):
        host = _facing(orchestrator)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _facing(orchestrator: str) -> str:
    """Ask the routing table; connecting a datagram socket sends nothing."""
    url = orchestrator_url(orchestrator)
    try:
        family, kind, _, _, target = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise HostError(
            f"no way to {url.host}: {error.strerror or error}",
            hint="check the name, or say with --runner-url where the orchestrator reaches this runner",
        ) from error


def _warn(peer: OrchestratorPeer) -> None:
    there, here = orchestrator_url(peer.url), orchestrator_url(peer.runner_url)
    if _is_loopback(here.host) and not _is_loopback(there.host):
        log.warning("orchestrator %s cannot reach %s: use --host and --runner-url", there, here)
    if peer.secret and there.scheme == "http" and not _is_loopback(there.host):
        log.warning("the secret goes to %s unencrypted", there)


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def installed_facts(item: InstalledPipeline) -> dict[str, Any]:
    """Return what is told to the public of an installed pipeline, the most telling first."""
    conda = item.conda
    return {
        "package": conda.name if conda else item.package,
        "version": conda.version if conda else item.version,
        "build": conda.build if conda else None,
        "environment": environment_digest(item.prefix),
        "runner": f"ai-runner-base {__version__}",
    }


def measured_cost(item: InstalledPipeline, speeds: Speeds) -> dict[str, Any] | None:
    """Return ms per frame as `serve --prefer` or `pipelines --measure` found them; None: not measured here."""
    speed = speeds.of(item)
    if speed is None:
        return None
    return {"p50": speed.p50_ms, "p95": speed.p95_ms, "size": f"{speed.width}x{speed.height}"}


def environment_digest(prefix: Path) -> str | None:
    """Return what identifies an environment's lock: a hash of names, versions and builds of its conda packages."""
    records = sorted(path.stem for path in (prefix / "conda-meta").glob("*.json"))
    return hashlib.sha256("\n".join(records).encode()).hexdigest()[:16] if records else None
