"""Reading one environment: distributions, their entry points, their conda packages. Imports nothing of
them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, EntryPoints
from pathlib import Path

from ._installed import CondaPackage, InstalledPipeline, Problem
from ._prefixes import environment_name, site_packages

GROUP = "ai_runner.pipeline"
BASE_PACKAGE = "ai-runner-base"

_ENTRY_POINT = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


def scan_prefix(prefix: Path) -> tuple[list[InstalledPipeline], list[Problem]]:
    """Find the pipelines of one environment.

    :param prefix: root of the environment
    :return: pipelines by name, and what could not be read; one broken distribution never hides another
    """
    folders = site_packages(prefix)
    if not folders:
        return [], [Problem(prefix, "lib", "has no Python site-packages; is it an environment?")]
    pipelines: list[InstalledPipeline] = []
    problems: list[Problem] = []
    trouble = _unusable(prefix, folders)
    for path in _distribution_paths(folders):
        try:
            pipelines.extend(_pipelines_of(path, prefix, trouble))
        except Exception as error:  # whatever a broken file makes importlib.metadata raise
            problems.append(Problem(prefix, path.name, f"cannot be read: {error}"))
    pipelines, twice = _without_duplicates(pipelines)
    problems += twice
    problems += [Problem(prefix, item.name, item.problem) for item in pipelines if item.problem]
    return pipelines, problems


def _unusable(prefix: Path, folders: tuple[Path, ...]) -> str | None:
    """Why no pipeline of this environment can be started, whatever its package says."""
    if not os.access(prefix / "bin" / "python", os.X_OK):
        return "its environment has no bin/python"
    if not any(_may_have_base(folder) for folder in folders):
        return f"its environment has no {BASE_PACKAGE}, which runs it"
    return None


def _may_have_base(folder: Path) -> bool:
    """Whether the base is in a folder, or in one that a path file adds: only an import could tell."""
    installed = folder.glob(f"{BASE_PACKAGE.replace('-', '_')}-*.dist-info")
    return any(installed) or any(folder.glob("*.pth"))


def _distribution_paths(folders: tuple[Path, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.iterdir() if path.suffix in (".dist-info", ".egg-info"))


def _pipelines_of(path: Path, prefix: Path, trouble: str | None) -> Iterator[InstalledPipeline]:
    distribution = Distribution.at(path)
    if GROUP not in (distribution.read_text("entry_points.txt") or ""):
        return  # most distributions: their metadata is not parsed
    name, version = distribution.metadata["Name"], distribution.metadata["Version"]
    if not name or not version:
        raise ValueError("METADATA has no Name or no Version")
    conda = _conda_package(prefix, path)
    for entry in _entry_points(distribution):
        yield InstalledPipeline(
            name=entry.name,
            entry_point=entry.value,
            package=name,
            version=version,
            prefix=prefix,
            environment=environment_name(prefix),
            conda=conda,
            problem=trouble or _malformed(entry),
        )


def _entry_points(distribution: Distribution) -> EntryPoints:
    try:
        return distribution.entry_points.select(group=GROUP)
    except Exception as error:  # its type differs between versions of Python
        raise ValueError(f"entry_points.txt is malformed ({error})") from error


def _malformed(entry: EntryPoint) -> str | None:
    if _ENTRY_POINT.fullmatch(entry.value):
        return None
    return f"entry point {entry.value!r} does not have the form package.module:Name"


def _without_duplicates(found: list[InstalledPipeline]) -> tuple[list[InstalledPipeline], list[Problem]]:
    kept: dict[str, InstalledPipeline] = {}
    problems = []
    for item in found:
        first = kept.setdefault(item.name, item)
        if first is not item:
            owners = f"{first.package} {first.version} and {item.package} {item.version}"
            problems.append(Problem(item.prefix, item.name, f"{owners} both register it; the first counts"))
    return sorted(kept.values(), key=lambda item: item.name), problems


def _conda_package(prefix: Path, distribution: Path) -> CondaPackage | None:
    """The installed conda package that owns a distribution's metadata folder.

    Records can hold megabytes of file names, so they are searched as bytes and only the right one is parsed,
    the one with the distribution's name first.
    """
    wanted = f"{distribution.parent.name}/{distribution.name}/".encode()
    stem = distribution.name.partition("-")[0].replace("_", "-").lower()
    records = sorted(
        (prefix / "conda-meta").glob("*.json"), key=lambda path: not path.name.lower().startswith(stem)
    )
    for path in records:
        content = path.read_bytes()
        if wanted in content:
            record = json.loads(content)
            return CondaPackage(
                *(str(record.get(key, "")) for key in ("name", "version", "build", "channel"))
            )
    return None
