"""A closed world for mirrors: a folder of small wheels is the only index, and a reporter remembers what was done."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ai_runner_base.channel import HostPython, Mirrored, Step, Want, mirror
from tests._support.channel_wheels import make_wheel

PYTHON = HostPython.current()
PIP_VARIABLES = ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_CONSTRAINT", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")


class _Step:
    def advance(self, size_bytes: int) -> None:
        """Count nothing."""


@dataclass
class Watcher:
    """Remembers stages and names; from several threads."""

    stages: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Step]:
        """Remember a step."""
        with self._lock:
            self.stages.append((stage, name))
        yield _Step()

    def note(self, message: str) -> None:
        """Remember a note."""
        self.notes.append(message)

    def detail(self, message: str) -> None:
        """Forget details."""

    def of(self, stage: str) -> list[str]:
        """Give the names of one stage."""
        return [name for found, name in self.stages if found == stage]


@dataclass
class World:
    """An index and a mirror of it.

    :param wheels: the folder that is the index
    :param channel: the mirror
    """

    wheels: Path
    channel: Path
    watcher: Watcher = field(default_factory=Watcher)

    def offer(self, name: str, version: str = "1.0", **options: object) -> Path:
        """Put a small wheel into the index."""
        return make_wheel(self.wheels, name, version, **options)  # type: ignore[arg-type]  # handed on

    def mirror(
        self,
        *specs: str | Want,
        constraints: Sequence[str] = (),
        refresh: bool = False,
        python: HostPython = PYTHON,
    ) -> Mirrored:
        """Mirror what is wanted; plain specs are wanted by the environment ``test``."""
        self.watcher = Watcher()
        wants = [spec if isinstance(spec, Want) else Want(spec, ("environment test",)) for spec in specs]
        return mirror(wants, self.channel, python, self.watcher, constraints=constraints, refresh=refresh)

    def packages(self) -> list[str]:
        """List names and versions of what the mirror has, without the interpreter and pip."""
        stems = sorted(path.stem.rsplit("-", 1)[0] for path in self.channel.glob("*/*.conda"))
        return [stem for stem in stems if not stem.startswith(("python-3", "python_abi-", "pip-"))]


def closed_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Make a world whose index is a folder; pip reaches nothing else."""
    for variable in PIP_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    world = World(tmp_path / "wheels", tmp_path / "mirror")
    world.offer("pip", "24.0")  # environments want one; too old to be run in place of the installed one
    return world
