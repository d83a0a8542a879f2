"""What a manifest says, as values: platforms, features, environments, tasks. Nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ._toml import Document, Key

_EXACT = re.compile(r"[0-9][^*,|<>=!~ ]*")


@dataclass(frozen=True, slots=True)
class Platform:
    """An entry of ``workspace.platforms``.

    :param name: how features and targets name it
    :param subdir: conda's name of operating system and architecture, e.g. ``linux-64``
    :param declared: virtual packages that it promises, e.g. ``{"__cuda": "12.8"}``
    """

    name: str
    subdir: str
    declared: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A dependency or constraint.

    :param path: folder of the recipe for an in-repo package, else None
    :param key: where the manifest says it
    """

    name: str
    version: str = "*"
    build: str = ""
    path: Path | None = None
    key: Key = field(default=(), compare=False)

    @property
    def spec(self) -> str:
        """As a match spec; a bare version is exact (source: pixi's documentation of specifiers)."""
        version = f"=={self.version}" if _EXACT.fullmatch(self.version) else self.version
        parts = [self.name, version, self.build] if self.build else [self.name, version]
        return self.name if parts == [self.name, "*"] else " ".join(parts)


@dataclass(frozen=True, slots=True)
class Activation:
    """Variables and scripts that an environment sets up."""

    env: Mapping[str, str] = field(default_factory=dict)
    scripts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskArgument:
    """A named argument of a task, filled by position."""

    name: str
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A task that another task needs first.

    :param environment: None means the one in which the caller runs, or what selection says
    :param args: by position; ``(name, value)`` for a named one
    """

    task: str
    environment: str | None = None
    args: tuple[str | tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    :param command: shell text, or words that are taken literally; None only groups other tasks
    :param cwd: relative to the manifest's folder
    :param inputs: globs; with unchanged inputs and outputs the task is skipped
    """

    name: str
    command: str | tuple[str, ...] | None = None
    args: tuple[TaskArgument, ...] = ()
    depends_on: tuple[TaskCall, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "."
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    description: str = ""
    default_environment: str | None = None

    @property
    def hidden(self) -> bool:
        """Left out of listings: names that start with an underscore."""
        return self.name.startswith("_")


@dataclass(frozen=True, slots=True)
class Layer:
    """Content that a feature has by itself or for one target."""

    dependencies: Mapping[str, Requirement] = field(default_factory=dict)
    constraints: Mapping[str, Requirement] = field(default_factory=dict)
    activation: Activation = field(default_factory=Activation)
    tasks: Mapping[str, Task] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feature:
    """A composable part of environments.

    :param targets: selector and content, in file order
    :param platforms: platform names or subdirs it works on; None means all
    """

    name: str
    base: Layer = field(default_factory=Layer)
    targets: tuple[tuple[str, Layer], ...] = ()
    platforms: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """A named set of features.

    :param features: in order of precedence: inline content, listed features, default feature
    """

    name: str
    features: tuple[Feature, ...]
    solve_group: str | None = None
    key: Key = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest; `load` reads one."""

    document: Document
    name: str
    version: str
    description: str
    channels: tuple[str, ...]
    platforms: tuple[Platform, ...]
    features: Mapping[str, Feature]
    environments: Mapping[str, Environment]

    @property
    def path(self) -> Path:
        """The file."""
        return self.document.path

    @property
    def root(self) -> Path:
        """The workspace: the manifest's folder."""
        return self.document.path.parent
