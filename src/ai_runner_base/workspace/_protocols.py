"""The two things that `workspace` needs from outside: somebody to tell, and somebody to get packages from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Step(Protocol):
    """One piece of work that is being shown."""

    def advance(self, size_bytes: int) -> None:
        """Count more bytes as fetched, written or verified. Callable from any thread."""


class Reporter(Protocol):
    """Who is told what is going on. All methods may be called from any thread."""

    def step(self, stage: str, name: str, total_bytes: int | None = None) -> AbstractContextManager[Step]:
        """Show a piece of work until the context ends; an exception through it marks it as failed.

        :param stage: a verb for the display: ``fetch build index solve verify link compile``
        :param name: what is worked on, e.g. ``numpy 2.4.1``
        :param total_bytes: size of the whole, where it is known
        """

    def note(self, message: str) -> None:
        """Print one line that stays on the screen."""

    def detail(self, message: str) -> None:
        """Write one line for ``-v`` and for the log file."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What one solve needs to find in channels.

    :param recipes: folders with a ``recipe.yaml``: the in-repo packages; no particular order, no duplicates
    :param specs: match specs of everything else, e.g. ``pytest >=8`` (conda names), ``python`` among them
    :param constraints: match specs that bind only what something else installs
    :param channels: the manifest's channels in priority order, as written
    :param subdir: e.g. ``linux-64``
    :param virtual_packages: what the solve may rely on, e.g. ``{"__cuda": "12.8", "__glibc": "2.36"}``
    :param environment: name for messages
    :param environment: its name in the manifest, for messages
    """

    recipes: tuple[Path, ...]
    specs: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    subdir: str = "linux-64"
    virtual_packages: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""


class Variant(Protocol):
    """A package that a recipe would give, rendered but not built."""

    @property
    def name(self) -> str:
        """Conda name."""

    @property
    def version(self) -> str:
        """Version."""

    @property
    def build(self) -> str:
        """Build string."""

    @property
    def depends(self) -> Sequence[str]:
        """Run requirements as match specs, virtual packages included."""

    @property
    def constrains(self) -> Sequence[str]:
        """Run constraints as match specs."""


class Provider(Protocol):
    """Makes sure that channels hold what a plan needs: builds recipes and mirrors the rest."""

    def inputs(self, plan: SourcePlan) -> Sequence[Path]:
        """Name the files and folders whose content decides what `provide` gives (recipes and their sources).

        Folders are meant with everything below them but caches. Cheap; fetches and builds nothing.
        """

    def variants(self, plan: SourcePlan) -> Sequence[Variant]:
        """Render all variants of the plan's recipes: what they demand is known before any download."""

    def provide(self, plan: SourcePlan, reporter: Reporter) -> Sequence[str]:
        """Build and mirror what is missing.

        :returns: channel URLs in priority order
        :raises RunnerError: names the package, who wants it, and the ways out
        """
