"""A pipeline's source folder, as its ``pyproject.toml`` describes it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CallerError

GROUP = "ai_runner.pipeline"
_PLACE = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One registered pipeline.

    :param place: ``package.module:Name``
    """

    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a ``pyproject.toml`` that registers pipelines.

    :param folder: absolute path
    :param source: folder from which the pipelines' modules are imported
    :param entry_points: at least one
    """

    folder: Path
    package: str
    version: str
    source: Path
    entry_points: tuple[EntryPoint, ...]

    @property
    def watched(self) -> list[Path]:
        """Its own modules: what may change while they are served."""
        names = {entry.place.partition(":")[0].partition(".")[0] for entry in self.entry_points}
        found = [(self.source / name, self.source / f"{name}.py") for name in sorted(names)]
        return [folder if folder.is_dir() else file for folder, file in found]


def read_project(path: Path) -> Project:
    """Read the project of a folder, or of one above it.

    :raises CallerError: there is none, it cannot be read, or it registers no pipeline
    """
    start = path.resolve()
    if not start.exists():
        raise CallerError(f"{path} does not exist", hint="name the folder of a pipeline's repository")
    file = next(
        (f for f in (folder / "pyproject.toml" for folder in (start, *start.parents)) if f.is_file()), None
    )
    if file is None:
        raise CallerError(
            f"there is no pyproject.toml in {start} or above",
            hint="make a repository with: ai-runner new my-pipeline",
        )
    project = _read(file)
    entry_points = _entry_points(file, project)
    modules = {entry.place.partition(":")[0].partition(".")[0] for entry in entry_points}
    return Project(
        folder=file.parent,
        package=str(project.get("name", file.parent.name)),
        version=str(project.get("version", "")),
        source=_source(file, modules),
        entry_points=entry_points,
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallerError(f"{file}: {error}") from error
    return project if isinstance(project, dict) else {}


def _entry_points(file: Path, project: dict[str, Any]) -> tuple[EntryPoint, ...]:
    registered = project.get("entry-points", {}).get(GROUP, {})
    if not registered:
        raise CallerError(
            f"{file} registers no pipeline",
            hint=f'add [project.entry-points."{GROUP}"] with my-pipeline = "my_pipeline.pipeline:MyPipeline"',
        )
    for name, place in registered.items():
        if not isinstance(place, str) or not _PLACE.fullmatch(place):
            raise CallerError(
                f"{file}: entry point {name} = {place!r} does not have the form package.module:Name"
            )
    return tuple(EntryPoint(name, place) for name, place in registered.items())


def _source(file: Path, modules: set[str]) -> Path:
    for folder in (file.parent / "src", file.parent):
        if all((folder / module).is_dir() or (folder / f"{module}.py").is_file() for module in modules):
            return folder
    names = ", ".join(sorted(modules))
    raise CallerError(f"{file}: its entry points name {names}, which is neither in src/ nor beside it")
