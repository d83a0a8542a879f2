"""Skip a task whose command, environment, inputs and outputs are what they were when it last succeeded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ._graph import Job
from ._home import Home, read_json, write_json
from ._ready import Prepared

_CHUNK_BYTES = 1 << 20


def is_fresh(job: Job, prepared: Prepared, home: Home, root: Path) -> bool:
    """Whether a task can be skipped. Tasks without inputs never can; outputs that are missing make it run.

    :param root: the workspace, from which globs are named
    """
    if not job.inputs:
        return False
    known = read_json(home.task_cache(job.environment)) or {}
    state = _state(job, prepared, root)
    return state is not None and known.get(_key(job)) == state


def remember_success(job: Job, prepared: Prepared, home: Home, root: Path) -> None:
    """Note what a task saw and made, after it succeeded."""
    if job.inputs:
        known = read_json(home.task_cache(job.environment)) or {}
        state = _state(job, prepared, root)
        if state is not None:
            write_json(home.task_cache(job.environment), {**known, _key(job): state})


def _key(job: Job) -> str:
    return f"{job.label}: {job.command}"


def _state(job: Job, prepared: Prepared, root: Path) -> str | None:
    """Everything that decides; None when a glob for outputs matches nothing."""
    outputs = _matching(root, job.outputs)
    if job.outputs and not outputs:
        return None
    digest = hashlib.sha256(json.dumps([job.command, job.env, str(job.cwd), prepared.stamp]).encode())
    for path in (*_matching(root, job.inputs), *outputs):
        digest.update(f"\0{path}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _matching(root: Path, patterns: Sequence[str]) -> list[Path]:
    """Files that the globs name; a later ``!glob`` takes files out again; a folder means all below it."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        hits = _files(root, pattern.removeprefix("!"))
        if pattern.startswith("!"):
            found = {path: None for path in found if path not in hits}
        else:
            found |= dict.fromkeys(sorted(hits))
    return list(found)


def _files(root: Path, pattern: str) -> set[Path]:
    hits: set[Path] = set()
    for path in root.glob(pattern.rstrip("/")):
        hits |= {below for below in path.rglob("*") if below.is_file()} if path.is_dir() else {path}
    return hits
