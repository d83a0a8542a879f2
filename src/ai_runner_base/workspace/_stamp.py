"""Is an environment still what the manifest and the sources ask for? Answered from file stats, in no time."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import __version__
from ._plan import EnvironmentPlan

FORMAT = 1
"""Raised when what is on disk changes its meaning; older environments are then made again."""

_CACHES = frozenset({"__pycache__", "node_modules"})
_SETTINGS = ("PIXIW_CHANNELS",)


def plan_digest(plan: EnvironmentPlan) -> str:
    """What the manifest asks for on this host; comments, tasks and descriptions do not count."""
    wanted = {
        "format": FORMAT,
        "version": __version__,
        "environment": plan.environment,
        "platform": [plan.platform.name, plan.platform.subdir],
        "virtual packages": dict(sorted(plan.source.virtual_packages.items())),
        "archspec": plan.host.archspec,
        "channels": plan.source.channels,
        "specs": [plan.specs, plan.group_specs, plan.constraints],
        "recipes": {name: str(path) for name, path in plan.recipes.items()},
        "scripts": plan.activation.scripts,
        "settings": {name: os.environ.get(name, "") for name in _SETTINGS},
    }
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """Name, size and time of every file below some paths, caches left out, and the running interpreter's."""
    digest = hashlib.sha256()
    for path in (*paths, Path(os.path.realpath(sys.executable))):
        for name, found in _walk(path):
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _walk(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    try:
        if not path.is_dir():
            yield str(path), path.stat()
            return
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        yield str(path), os.stat_result((0,) * 10)
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _CACHES or entry.name.endswith((".egg-info", ".pyc")):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield entry.path, entry.stat(follow_symlinks=False)
