"""Complete environments side by side: a new one is built next to the current one, then a symlink moves over.

Nothing that is half-made can ever be used: `envs/NAME` points to the old generation until the new one is
complete, and an unfinished folder is removed at the next installation. A running task holds a shared lock on
its generation, so that what it may still import is not removed under it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ._home import Home


def current_generation(home: Home, environment: str) -> Path | None:
    """The folder that ``envs/NAME`` points to, or None."""
    try:
        target = home.prefix(environment).readlink()
    except OSError:
        return None
    folder = home.environments / target
    return Path(os.path.normpath(folder)) if (folder / "conda-meta").is_dir() else None


def previous_generation(home: Home, environment: str) -> Path | None:
    """The last complete generation before the current one, if it is still there."""
    current = current_generation(home, environment)
    latest = _number(current) if current is not None else 0
    older = [path for path in _of(home, environment) if _number(path) < latest and _is_complete(path)]
    return max(older, key=_number, default=None)


def new_generation(home: Home, environment: str) -> Path:
    """An empty folder for the next generation."""
    taken = [_number(path) for path in _of(home, environment)]
    folder = home.generations / f"{environment}-{max(taken, default=0) + 1}"
    folder.mkdir(parents=True)
    return folder


def make_current(home: Home, environment: str, generation: Path) -> None:
    """Move ``envs/NAME`` to a complete generation, in one step."""
    prefix = home.prefix(environment)
    temporary = prefix.with_name(f".{environment}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(generation, home.environments))
    temporary.replace(prefix)


def sweep(home: Home, environment: str) -> None:
    """Remove what an interrupted installation left, and generations that are neither current nor in use.

    One generation before the current one stays, for programs that were started without pixiw.
    """
    current, previous = current_generation(home, environment), previous_generation(home, environment)
    for path in _of(home, environment):
        if path not in (current, previous):
            _remove_unless_used(path)
    for leftover in home.environments.glob(f".{environment}.*"):
        leftover.unlink(missing_ok=True)


def known_environments(home: Home) -> list[str]:
    """Environments that have left something on disk, also those that the manifest no longer has."""
    prefixes = {path.name for path in home.environments.glob("[!.]*")}
    generations = {path.name.rpartition("-")[0] for path in home.generations.glob("*-*")}
    return sorted(prefixes | generations)


def remove_environment(home: Home, environment: str, *, used: bool = True) -> None:
    """Remove an environment with all its generations; the prefix goes first, so that no half is found.

    :param used: also generations that a process holds; else they stay until the next `sweep`
    """
    home.prefix(environment).unlink(missing_ok=True)
    home.state(environment).unlink(missing_ok=True)
    home.task_cache(environment).unlink(missing_ok=True)
    for path in _of(home, environment):
        if used:
            shutil.rmtree(path, ignore_errors=True)
        else:
            _remove_unless_used(path)


def mark_complete(generation: Path) -> None:
    """Say that everything is in place; written last."""
    (generation / "conda-meta" / "pixiw-complete").touch()


def _is_complete(generation: Path) -> bool:
    return (generation / "conda-meta" / "pixiw-complete").exists()


def hold(generation: Path) -> None:
    """Keep a generation from being removed for as long as this process and what it executes live."""
    descriptor = os.open(generation, os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.set_inheritable(descriptor, True)


def _of(home: Home, environment: str) -> list[Path]:
    found = [path for path in home.generations.glob(f"{environment}-*") if _number(path) > 0]
    return [path for path in found if path.name == f"{environment}-{_number(path)}"]


def _number(path: Path) -> int:
    tail = path.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def _remove_unless_used(path: Path) -> None:
    with _exclusive(path) as free:
        if free:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[bool]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
