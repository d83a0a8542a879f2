"""What this room asks of its caller: a plan to serve and somebody to tell.

Both are protocols, so that `workspace` (a neighbour on the same floor) and this room need not import each
other: `workspace.SourcePlan` is a `Plan`, and one `Reporter` serves both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
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

        :param stage: a verb for the display; this room says ``resolve fetch convert build index``
        :param name: what is worked on, e.g. ``numpy 2.4.1``
        :param total_bytes: size of the whole, where it is known
        """

    def note(self, message: str) -> None:
        """Print one line that stays on the screen."""

    def detail(self, message: str) -> None:
        """Write one line for ``-v`` and for the log file."""


class Plan(Protocol):
    """What one solve needs to find in channels. `workspace.SourcePlan` is one."""

    @property
    def environment(self) -> str:
        """Name for messages; may be empty."""

    @property
    def recipes(self) -> tuple[Path, ...]:
        """Folders with a ``recipe.yaml``: the in-repo packages."""

    @property
    def specs(self) -> tuple[str, ...]:
        """Match specs of everything else (conda names)."""

    @property
    def constraints(self) -> tuple[str, ...]:
        """Match specs that bind only what something else installs."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The manifest's channels in priority order, as written."""

    @property
    def subdir(self) -> str:
        """Platform of the packages, e.g. ``linux-64``."""

    @property
    def virtual_packages(self) -> Mapping[str, str]:
        """What the solve may rely on, e.g. ``{"__glibc": "2.36"}``."""


class _SilentStep:
    def advance(self, size_bytes: int) -> None:
        """Count nothing."""


class Silent:
    """A reporter that shows nothing."""

    @contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Step]:
        """Show nothing."""
        yield _SilentStep()

    def note(self, message: str) -> None:
        """Print nothing."""

    def detail(self, message: str) -> None:
        """Write nothing."""
