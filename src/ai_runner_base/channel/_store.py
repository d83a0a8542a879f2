"""A channel directory on disk: one writer at a time, and no moment at which a reader finds it broken.

An index is made beside the channel, in a staging folder of hard links. Then packages move in, the index files
are replaced (each one atomically, ``repodata.json`` last), and superseded packages go. Whoever is killed in
between leaves the old channel or the new one, and at worst some files that no index names.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ai_runner_base.errors import HostError

from ._protocols import Reporter
from .conda_writer import Package

T = TypeVar("T")

_STATE = ".state.json"
_LOCK_TIMEOUT_S = 1800.0
_LOCK_POLL_S = 0.2


class ChannelDir:
    """A folder with ``SUBDIR/*.conda`` and ``SUBDIR/repodata.json``.

    :param path: is made when something is written
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def url(self) -> str:
        """For solvers: ``file:///...``."""
        return self.path.as_uri()

    @property
    def is_indexed(self) -> bool:
        """Whether there is something to solve against."""
        return (self.path / "noarch" / "repodata.json").is_file()

    def __contains__(self, file_name: str) -> bool:
        """Say whether a package is there, by ``SUBDIR/STEM.conda``."""
        return (self.path / file_name).is_file()

    def is_listed(self, file_name: str) -> bool:
        """Say whether the index names a package, by ``SUBDIR/STEM.conda``."""
        subdir, _, name = file_name.partition("/")
        index = _read_json(self.path / subdir / "repodata.json") or {}
        return name in index.get("packages.conda", {})

    def packages(self) -> list[str]:
        """List the packages as ``SUBDIR/STEM.conda``."""
        return sorted(f"{p.parent.name}/{p.name}" for p in self.path.glob("*/*.conda"))

    @contextlib.contextmanager
    def lock(self, reporter: Reporter) -> Iterator[None]:
        """Be the only writer; the operating system gives the lock back whatever happens to the process.

        :raises HostError: another process has held it for half an hour
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            _wait_for_lock(file.fileno(), self.path, reporter)
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a killed writer left behind."""
        for leftover in (*self.path.glob(".work-*"), *self.path.glob("*/.*.part")):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    @contextlib.contextmanager
    def work_dir(self) -> Iterator[Path]:
        """Give a folder on the same file system, removed afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=".work-", dir=self.path))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, new: Sequence[Package], keep: Callable[[str], bool], reporter: Reporter) -> None:
        """Put packages in, take superseded ones out, and replace the index. Call it with the lock held.

        :param new: finished files on the same file system; they are moved
        :param keep: is asked for each ``SUBDIR/STEM.conda`` that is there already
        """
        old = self.packages()
        incoming = {package.file_name: package.path for package in new}
        kept = [name for name in old if name not in incoming and keep(name)]
        with self.work_dir() as staging, reporter.step("index", f"{len(kept) + len(incoming)} packages"):
            for name, path in ({name: self.path / name for name in kept} | incoming).items():
                _link(path, staging / name)
            self._index(staging, new)
            for name, path in incoming.items():
                (self.path / name).parent.mkdir(exist_ok=True)
                path.replace(self.path / name)
            self._replace_index(staging)
        for name in set(old) - set(kept) - set(incoming):
            (self.path / name).unlink(missing_ok=True)

    def _index(self, staging: Path, new: Sequence[Package]) -> None:
        """Have the staging folder indexed.

        The indexer takes over records that it finds in an older index, so those that are known are put into
        one: reading a package of 60 MB takes it a second.
        """
        from rattler.index import index_fs

        (staging / "noarch").mkdir(exist_ok=True)
        for subdir in staging.iterdir():
            index = _read_json(self.path / subdir.name / "repodata.json") or _empty_index(subdir.name)
            known = {p.path.name: p.record for p in new if p.record and p.path.parent.name == subdir.name}
            replaced = {package.path.name for package in new}
            old = {name: record for name, record in index["packages.conda"].items() if name not in replaced}
            index["packages.conda"] = {**old, **known}
            (subdir / "repodata.json").write_text(json.dumps(index))
        run(index_fs(staging))

    def _replace_index(self, staging: Path) -> None:
        """Move index files over the old ones: what others point to first, ``repodata.json`` last."""
        subdirs = {path.name for path in staging.iterdir()}
        for subdir in (p for p in self.path.iterdir() if p.is_dir() and (p / "repodata.json").exists()):
            if subdir.name not in subdirs:
                shutil.rmtree(subdir)
        for subdir in sorted(staging.iterdir()):
            target = self.path / subdir.name
            files = [p for p in subdir.rglob("*") if p.is_file() and p.suffix != ".conda"]
            shards = {p.relative_to(subdir) for p in files if p.parent != subdir}
            for file in sorted(files, key=lambda p: (p.parent == subdir, p.name == "repodata.json", p.name)):
                destination = target / file.relative_to(subdir)
                destination.parent.mkdir(parents=True, exist_ok=True)
                file.replace(destination)
            for stale in {p.relative_to(target) for p in target.glob("shards/*")} - shards:
                (target / stale).unlink()

    def read_state(self) -> dict[str, Any]:
        """Give what `write_state` wrote last; an unreadable file counts as none."""
        return _read_json(self.path / _STATE) or {}

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Replace the state atomically."""
        temporary = self.path / f"{_STATE}.{os.getpid()}"
        temporary.write_text(json.dumps(state, indent=1, sort_keys=True))
        temporary.replace(self.path / _STATE)


def _wait_for_lock(descriptor: int, path: Path, reporter: Reporter) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not said:
                reporter.note(f"waiting for another process that is writing to {path}")
                said = True
            if time.monotonic() > deadline:
                raise HostError(f"another process has been writing to {path} for half an hour") from None
            time.sleep(_LOCK_POLL_S)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _read_json(path: Path) -> dict[str, Any] | None:
    """Give the object in a file, or None where there is none that can be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _empty_index(subdir: str) -> dict[str, Any]:
    return {"info": {"subdir": subdir}, "packages": {}, "packages.conda": {}, "repodata_version": 1}


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a thread of its own where this one already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    result: list[T] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as error:  # carried over to the waiting thread
            failure.append(error)

    thread = threading.Thread(target=target, name="channel-index")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]
