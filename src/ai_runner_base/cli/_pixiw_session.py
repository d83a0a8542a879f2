"""One call of pixiw: which manifest, which folder, which host, and how environments become ready for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from ..errors import CallerError
from ..workspace import (
    EnvironmentPlan,
    Home,
    Host,
    Manifest,
    Prepared,
    TaskRunner,
    read_manifest,
    ready,
    remembered_host,
    resolve,
)
from ._pixiw_display import Display
from ._pixiw_work import Worker


@dataclass(frozen=True, slots=True)
class Options:
    """Options that every command takes.

    :param manifest_path: as given; None means the nearest ``pixi.toml``
    :param wrapper_root: the repository of `scripts/pixiw`, whose manifest counts where there is no nearer one
    :param verbosity: number of ``-v`` minus number of ``-q``
    :param purpose: the command, for those who wait for us
    """

    manifest_path: Path | None = None
    verbosity: int = 0
    purpose: str = "pixiw"
    wrapper_root: Path | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How much may be done to make an environment ready.

    :param frozen: use what was chosen before, whatever the manifest says now
    :param locked: refuse to choose anew
    :param no_install: use what is there, or fail
    """

    frozen: bool = False
    locked: bool = False
    no_install: bool = False


class Session:
    """Everything that commands need, each part made when it is first used."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.cwd = Path.cwd()
        self.display = Display(options.verbosity)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest that counts here."""
        return read_manifest(find_manifest(self.options, self.cwd))

    @cached_property
    def home(self) -> Home:
        """Where pixiw keeps its things for this workspace."""
        return Home.of(self.manifest.root, os.environ.get("PIXIW_HOME"))

    @cached_property
    def host(self) -> Host:
        """What this machine provides."""
        found = remembered_host(self.home)
        if found is None:
            self._worker().detect_host()
            found = remembered_host(self.home)
        if found is None:
            raise CallerError(f"{self.home.root} does not keep what is written to it")
        return found

    def plan(self, environment: str) -> EnvironmentPlan:
        """What an environment consists of on this host."""
        return resolve(self.manifest, environment, self.host)

    def prepare(
        self, environments: Sequence[str], freshness: Freshness
    ) -> dict[str, tuple[EnvironmentPlan, Prepared]]:
        """Make environments ready; costs some milliseconds when they are.

        :raises RunnerError: an environment cannot be had here, or must not be made
        """
        plans = {name: self.plan(name) for name in dict.fromkeys(environments)}
        frozen = freshness.frozen or freshness.no_install
        missing = [name for name, plan in plans.items() if ready(plan, self.home, frozen=frozen) is None]
        if missing and freshness.no_install:
            hint = f"make it with: pixiw install -e {missing[0]}"
            raise CallerError(f"environment {missing[0]} is not installed", hint=hint)
        if missing:
            self._worker().prepare(missing, frozen=frozen, locked=freshness.locked)
        found = {name: (plan, ready(plan, self.home, frozen=True)) for name, plan in plans.items()}
        return {name: (plan, prepared) for name, (plan, prepared) in found.items() if prepared is not None}

    def runner(self, environments: dict[str, tuple[EnvironmentPlan, Prepared]]) -> TaskRunner:
        """Something that runs tasks in prepared environments."""
        return TaskRunner(self.manifest, self.home, environments, self.say, self.cwd)

    def say(self, text: str) -> None:
        """Print a line about what is done to stderr, unless ``-q``."""
        if self.options.verbosity >= 0:
            click.echo(text, err=True)

    def _worker(self) -> Worker:
        return Worker(self.home, self.manifest.path, self.display, self.options.purpose)


def find_manifest(options: Options, cwd: Path) -> Path:
    """The manifest: as given (file or folder), else the nearest one here or above, else the wrapper's own.

    :raises CallerError: there is none, or it is one that is not read here
    """
    if options.manifest_path is not None:
        path = options.manifest_path.absolute()
        path = path / "pixi.toml" if path.is_dir() else path
        if path.name == "pyproject.toml":
            raise CallerError("pixiw does not read pyproject.toml as a manifest", hint="use a pixi.toml")
        return path
    folders = [cwd, *cwd.parents]
    if options.wrapper_root is not None:
        folders.append(options.wrapper_root)
    for folder in folders:
        if (folder / "pixi.toml").is_file():
            return folder / "pixi.toml"
    raise CallerError(f"there is no pixi.toml in {cwd} or above", hint="name one with --manifest-path")
