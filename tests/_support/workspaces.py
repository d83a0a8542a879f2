"""A workspace on tiny channels: prepared in this process, or in one that can be killed at a chosen point."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ai_runner_base.workspace import (
    EnvironmentPlan,
    Home,
    Host,
    Manifest,
    Prepared,
    Preparer,
    SourcePlan,
    Step,
    Variant,
    read_manifest,
    resolve,
)

REPOSITORY = Path(__file__).parents[2]
HOST = Host("linux-64", {"__unix": "0", "__linux": "6.1", "__glibc": "2.36"})


@dataclass(frozen=True)
class FakeVariant:
    """A rendered package."""

    name: str
    depends: tuple[str, ...] = ()
    version: str = "1.0"
    build: str = "0"
    constrains: tuple[str, ...] = ()


@dataclass
class StaticProvider:
    """Channels that are there already; counts how often it is asked."""

    urls: Sequence[str]
    watched: Sequence[Path] = ()
    rendered: Sequence[Variant] = ()
    asked: int = 0

    def inputs(self, plan: SourcePlan) -> Sequence[Path]:
        return self.watched

    def variants(self, plan: SourcePlan) -> Sequence[Variant]:
        return self.rendered

    def provide(self, plan: SourcePlan, reporter: object) -> Sequence[str]:
        self.asked += 1
        return self.urls


class _Step:
    def advance(self, size_bytes: int) -> None:
        """Not looked at."""


@dataclass
class Recorder:
    """A reporter that remembers."""

    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Step]:
        self.steps.append(stage)
        yield _Step()

    def note(self, message: str) -> None:
        self.notes.append(message)

    def detail(self, message: str) -> None:
        """Not looked at."""


@dataclass
class Workspace:
    """A folder with a manifest, and what to prepare it with."""

    root: Path
    provider: StaticProvider
    reporter: Recorder = field(default_factory=Recorder)
    host: Host = HOST

    def write(self, text: str) -> Manifest:
        """Write the manifest behind a fixed head."""
        head = '[workspace]\nname = "w"\nchannels = ["c"]\n'
        head += 'platforms = [{ name = "cuda", platform = "linux-64", cuda = "12.8" }, "linux-64"]\n'
        (self.root / "pixi.toml").write_text(head + text)
        return self.manifest

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.root / "pixi.toml")

    @property
    def home(self) -> Home:
        return Home(self.root / ".pixiw")

    def plan(self, environment: str = "default") -> EnvironmentPlan:
        return resolve(self.manifest, environment, self.host)

    def prepare(self, *environments: str, frozen: bool = False, locked: bool = False) -> list[Prepared]:
        plans = [self.plan(name) for name in environments or ("default",)]
        preparer = Preparer(self.manifest, self.home, self.provider, self.reporter)
        return preparer.prepare(plans, frozen=frozen, locked=locked)

    def run(self, *command: str, environment: str = "default") -> str:
        """Run a program of an environment; its output."""
        program = str(self.home.prefix(environment) / "bin" / command[0])
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def prepare_elsewhere(self, prelude: str = "") -> subprocess.Popen[str]:
        """Start another process that prepares the default environment, after some statements of its own."""
        script = (
            "import os, sys; sys.path[:0] = sys.argv[1:3]\n"
            "from pathlib import Path\n"
            "from tests._support.workspaces import StaticProvider, Workspace\n"
            f"{prelude}\n"
            "Workspace(Path(sys.argv[3]), StaticProvider(sys.argv[4:])).prepare()\n"
            "sys.stdout.flush(); os._exit(0)\n"
        )
        arguments = [str(REPOSITORY), str(REPOSITORY / "src"), str(self.root), *self.provider.urls]
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
