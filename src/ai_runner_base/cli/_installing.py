"""What the commands that change environments have in common: which one, which channels, how it is shown."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..catalog import (
    Catalog,
    InstalledPipeline,
    describe,
    environment_name,
    environments_folder,
    known_prefixes,
)
from ..errors import CallerError, HostError, PipelineError
from ..workspace import Home
from ._pixiw_display import Display
from ._pixiw_events import EventReporter

if TYPE_CHECKING:
    from rattler import RepoDataRecord

    from ..workspace import Changed, Installer

DEFAULT_CHANNEL = "livepeer"
EVERYTHING_ELSE = "conda-forge"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def changing_options(command: _Command) -> _Command:
    """Add all options of the commands that put packages into an environment."""
    return channel_options(place_options(attestation_option(command)))


def channel_options(command: _Command) -> _Command:
    """Add the options that say where packages come from."""
    for option in (
        click.option(
            "--override-channels",
            is_flag=True,
            envvar="AI_RUNNER_OVERRIDE_CHANNELS",
            help=f"Use the named channels only; else {EVERYTHING_ELSE} comes behind them.",
        ),
        click.option(
            "--channel",
            "-c",
            "channels",
            multiple=True,
            envvar="AI_RUNNER_CHANNELS",
            metavar="NAME|URL|FOLDER",
            help=f"Where packages come from, in order of priority; repeatable. Default: {DEFAULT_CHANNEL}.",
        ),
    ):
        command = option(command)
    return command


def place_options(command: _Command) -> _Command:
    """Add the options that say which environment is meant."""
    for option in (
        click.option(
            "--prefix",
            type=click.Path(path_type=Path),
            help="Path of the environment, where it shall not lie beside this one.",
        ),
        click.option(
            "--environment",
            "-e",
            metavar="NAME",
            help="Name of the environment. Default: the first package's.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Place:
    """An environment that exists or is to be made."""

    folder: Path
    name: str

    @classmethod
    def of(cls, environment: str | None, prefix: Path | None, packages: Sequence[str]) -> Place:
        """Find out which environment is meant.

        :raises click.UsageError: nothing says which, or two things do
        """
        if environment and prefix:
            raise click.UsageError("--environment and --prefix exclude each other")
        if prefix is not None:
            path = Path(os.path.abspath(prefix))  # noqa: PTH100  (`resolve` would follow the link that a prefix is)
            return cls(path.parent, path.name)
        if environment:
            return cls(environments_folder(), environment)
        if not packages:
            raise click.UsageError("say which environment: -e NAME")
        return cls(environments_folder(), _package(packages[0]))


def _package(text: str) -> str:
    """The name in front of a version, for naming an environment."""
    return click.unstyle(text).strip().partition("=")[0].rstrip("<>!~ ").partition(" ")[0].lower()


def channel_urls(channels: Sequence[str], *, override: bool) -> list[str]:
    """Channels as they are to be used: names and URLs as given, folders as URLs.

    A name is looked up below ``CONDA_CHANNEL_ALIAS`` where that is set, as conda does.

    :raises CallerError: a folder that is not there
    """
    wanted = list(channels) or [DEFAULT_CHANNEL]
    if not override and EVERYTHING_ELSE not in wanted:
        wanted.append(EVERYTHING_ELSE)
    return [channel_url(channel) for channel in wanted]


def channel_url(channel: str) -> str:
    """A channel as it is to be used: a name or URL as given, a folder as a URL.

    :raises CallerError: a folder that is not there
    """
    if "://" in channel:
        return channel
    path = Path(channel).expanduser()
    if path.is_dir():
        return path.resolve().as_uri()
    if channel.startswith((".", "/", "~")):
        raise CallerError(f"channel {channel} is no folder", hint="name a folder, a URL or a channel's name")
    alias = os.environ.get("CONDA_CHANNEL_ALIAS", "").rstrip("/")
    return f"{alias}/{channel}" if alias else channel


attestation_option: Callable[[_Command], _Command] = click.option(
    "--require-attestation",
    "policy",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="AI_RUNNER_ATTESTATION_POLICY",
    metavar="POLICY",
    help="File that says whose signed word is needed for which packages.",
)


@contextlib.contextmanager
def changing(
    packages: Sequence[str], *, environment: str | None, prefix: Path | None, policy: Path | None
) -> Iterator[tuple[Installer, list[str]]]:
    """Give what changes the environment that is meant, and the packages as match specs.

    :raises CallerError: a package's name or version cannot be read
    """
    place, verbose = (
        Place.of(environment, prefix, packages),
        click.get_current_context().find_root().obj["verbose"],
    )
    with installer(place, verbose=verbose, policy=policy) as into:
        from ..workspace import match_spec

        yield into, [match_spec(text) for text in packages]


@contextlib.contextmanager
def installer(place: Place, *, verbose: bool, policy: Path | None = None) -> Iterator[Installer]:
    """Give what changes an environment, and show on stderr what it does.

    :param policy: file of a `workspace.attestation.Policy`
    :raises HostError: py-rattler is not there
    """
    require("rattler", "py-rattler")
    from ..workspace import Installer

    display = Display(1 if verbose else 0)
    reporter = EventReporter(display.handle)

    def accept(generation: Path) -> None:
        if not start_test(generation):
            reporter.note(f"no package in environment {place.name} brings a pipeline")

    try:
        vet = [_vet(policy)] if policy is not None else []
        yield Installer(Home.beside(place.folder), place.name, reporter, accept, *vet)
    finally:
        display.close()


def _vet(path: Path) -> Callable[[RepoDataRecord], None]:
    """Ask for attestations, as a policy wants them."""
    from ..workspace import attestation

    policy = attestation.Policy.read(path)

    def vet(record: RepoDataRecord) -> None:
        digest = record.sha256.hex() if record.sha256 is not None else ""
        policy.require(record.name.normalized, record.url, digest)

    return vet


def require(module: str, package: str) -> None:
    """Refuse to go on without a library that only some environments have.

    :raises HostError: it is not there; says how to get it
    """
    if find_spec(module) is None:
        hint = f"install it there: conda install {package}, or pip install 'ai-runner-base[workspace]'"
        raise HostError(
            f"this needs {package}, which environment {environment_name(Path(sys.prefix))} lacks", hint=hint
        )


def start_test(prefix: Path) -> list[InstalledPipeline]:
    """Have every pipeline of an environment imported by its own interpreter.

    :raises PipelineError: one of them cannot be used
    """
    found = Catalog.scan([prefix]).pipelines
    for item in found:
        what = f"{item.name} of {item.package} {item.version} did not pass its start test"
        if item.problem:
            raise PipelineError(f"{what}: {item.problem}", hint="nothing was changed")
        try:
            describe(item, os.environ)
        except PipelineError as error:
            raise PipelineError(
                f"{what}: {error.message}",
                hint=f"nothing was changed; {error.hint}".rstrip("; "),
                remote_traceback=error.remote_traceback,
            ) from error
    return list(found)


def tell(changed: Changed) -> None:
    """Say what a change did."""
    for line in changed.lines:
        click.echo(f"  {line}")
    if not changed.lines:
        click.echo(f"{changed.prefix}: nothing to change ({changed.seconds:.1f} s)")
        return
    count = len(changed.lines)
    click.echo(f"{changed.prefix}: {count} change{'s' if count > 1 else ''}, {changed.seconds:.1f} s")
    found_anyway = changed.prefix in known_prefixes()
    for item in Catalog.scan([changed.prefix]).pipelines:
        where = f"@{item.environment}" if found_anyway else f" --environments {changed.prefix}"
        click.echo(f"pipeline {item.name}: ai-runner serve --pipeline {item.name}{where}")
