"""Notices that files of a pipeline's source have changed. A look every so often: it works on every file system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

INTERVAL_S = 0.3
_MAX_FILES = 20_000
_SKIPPED = ("__pycache__", "node_modules")

Snapshot = dict[Path, tuple[int, int]]


class Watch:
    """Compares what is there with what was there.

    :param paths: files and folders; hidden files and caches in them do not count
    """

    def __init__(self, paths: Sequence[Path], interval_s: float = INTERVAL_S) -> None:
        self._paths, self._interval_s = tuple(paths), interval_s
        self._known = take_snapshot(self._paths)

    async def next_change(self) -> list[Path]:
        """Wait for files to change, and for the changing to be over; return those that did, sorted."""
        while True:
            await asyncio.sleep(self._interval_s)
            now = await asyncio.to_thread(take_snapshot, self._paths)
            if now == self._known:
                continue
            settled = await self._settle(now)
            changed = {path for path, _ in self._known.items() ^ settled.items()}
            self._known = settled
            if changed:
                return sorted(changed)

    async def _settle(self, seen: Snapshot) -> Snapshot:
        """Editors and version control write in several steps."""
        while True:
            await asyncio.sleep(self._interval_s)
            now = await asyncio.to_thread(take_snapshot, self._paths)
            if now == seen:
                return now
            seen = now


def take_snapshot(paths: Sequence[Path]) -> Snapshot:
    """Return modification time (ns) and size of each file; what vanishes meanwhile is left out."""
    found: Snapshot = {}
    for path in paths:
        for file in _files(path):
            try:
                stat = file.stat()
            except OSError:
                continue
            found[file] = stat.st_mtime_ns, stat.st_size
            if len(found) >= _MAX_FILES:
                return found
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _SKIPPED)
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))
