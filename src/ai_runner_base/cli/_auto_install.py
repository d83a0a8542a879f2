"""`AUTO_INSTALL_PIPELINE`: what `serve` installs before it starts, if it is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ..catalog import Catalog, InstalledPipeline
from ..errors import CallerError, HostError
from ..workspace import Home
from ._installing import Place, channel_options, start_test
from ._pixiw_display import Display
from ._pixiw_events import EventReporter

_FORM = re.compile(r"([A-Za-z0-9][\w.-]*)(?:==([\w.+!-]+))?")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def auto_install_options(command: _Command) -> _Command:
    """Add the options of this module to `serve`."""
    command = channel_options(command)
    command = click.option(
        "--auto-install-pypi",
        is_flag=True,
        envvar="AUTO_INSTALL_PYPI",
        help="Take from the Python index what no channel has. Its packages are checked by nobody: off by default.",
    )(command)
    return click.option(
        "--auto-install",
        multiple=True,
        envvar="AUTO_INSTALL_PIPELINE",
        metavar="PACKAGE[==VERSION]",
        help="Install this package first, into an environment of its own, unless it is there; repeatable.",
    )(command)


@dataclass(frozen=True)
class AutoInstall:
    """What is to be there before serving begins."""

    packages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    override_channels: bool = False
    from_index: bool = False

    @classmethod
    def read(cls, flags: Mapping[str, Any]) -> AutoInstall:
        """Take the options of `auto_install_options`."""
        return cls(
            flags["auto_install"], flags["channels"], flags["override_channels"], flags["auto_install_pypi"]
        )


def auto_install(wanted: AutoInstall) -> list[InstalledPipeline]:
    """Install what is missing and return the pipelines of the wanted packages.

    What is there is not upgraded: a restart changes nothing by itself, and needs no network.

    :raises CallerError: a package cannot be had, or brings no pipeline
    :raises HostError: this machine cannot install it
    """
    return [item for text in wanted.packages for item in _provide(text, wanted)]


def _provide(text: str, wanted: AutoInstall) -> list[InstalledPipeline]:
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise CallerError(
            f"--auto-install {text!r} is not PACKAGE or PACKAGE==VERSION", hint="leave out the rest"
        )
    name, version = form[1], form[2] or ""
    found = _pipelines(name, version)
    if found:
        return found
    place = Place.of(None, None, [text])
    code = _run_install(text, wanted)
    if code == CallerError.exit_code and wanted.from_index:
        _from_index(text, place)
    elif code:
        kind = CallerError if code == CallerError.exit_code else HostError
        raise kind(f"{text} was not installed, for the reason above", hint="nothing else was changed")
    found = _pipelines(name, version)
    if not found:
        raise CallerError(f"{text} brings no pipeline", hint=f"remove it: ai-runner uninstall {name}")
    return found


def _pipelines(package: str, version: str) -> list[InstalledPipeline]:
    """Usable pipelines that a package brings here, in this version if one is given."""
    return [
        item
        for item in Catalog.scan().pipelines
        if _same(package, (item.conda.name if item.conda else item.package))
        and version in ("", item.version, item.conda.version if item.conda else item.version)
        and item.problem is None
    ]


def _same(one: str, other: str) -> bool:
    return one.lower().replace("_", "-") == other.lower().replace("_", "-")


def _run_install(text: str, wanted: AutoInstall) -> int:
    """Install in another process: the solver has no place in one that serves."""
    words = [word for channel in wanted.channels for word in ("-c", channel)]
    words += ["--override-channels"] if wanted.override_channels else []
    command = [sys.executable, "-m", "ai_runner_base", "install", *words, "--", text]
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode


def _from_index(text: str, place: Place) -> None:
    from ..workspace import install_from_index

    display = Display(0)
    display.line(f"no channel has {text}: it is taken from the Python index, as --auto-install-pypi allows")
    try:
        home = Home.beside(place.folder)
        install_from_index(text, home, place.name, EventReporter(display.handle), start_test)
    finally:
        display.close()


def add_names(names: Sequence[str], installed: Sequence[InstalledPipeline]) -> tuple[str, ...]:
    """Serve what was installed, too, unless it is named anyway."""
    known = {name.partition("@")[0] for name in names}
    return (*names, *(f"{item.name}@{item.prefix}" for item in installed if item.name not in known))
