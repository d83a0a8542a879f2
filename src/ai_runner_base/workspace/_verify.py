"""Check package files against the index before anything is installed from them.

rattler checks what it downloads, but installs whatever a ``file://`` channel holds, without a word.
"""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from rattler import RepoDataRecord

from ..errors import HostError
from ._home import Home, read_json, write_json
from ._protocols import Reporter

_CHUNK_BYTES = 1 << 20


def local_path(url: str) -> Path | None:
    """The file behind a ``file://`` URL, or None for other URLs."""
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.parse.unquote(parts.path)) if parts.scheme == "file" else None


def verify_records(records: Iterable[RepoDataRecord], home: Home, reporter: Reporter) -> None:
    """Compare the sha256 of every local package with its record; what was checked before is not read again.

    :raises HostError: a file is missing or is not what the index says
    """
    memory = home.root / "state" / "verified.json"
    known = read_json(memory) or {}
    todo: list[tuple[Path, str, str]] = []
    for record in records:
        path = local_path(record.url)
        if path is None:
            continue
        wanted = record.sha256.hex() if record.sha256 is not None else ""
        seen = _describe(path, wanted)
        if known.get(str(path)) != seen:
            todo.append((path, wanted, seen))
    if not todo:
        return
    total = sum(path.stat().st_size for path, _, _ in todo)
    with reporter.step("verify", f"{len(todo)} packages", total) as step:
        for path, wanted, seen in todo:
            _check(path, wanted)
            known[str(path)] = seen
            step.advance(path.stat().st_size)
    write_json(memory, known)


def _describe(path: Path, wanted: str) -> str:
    try:
        found = path.stat()
    except OSError as error:
        raise _broken(path, f"cannot be read: {error.strerror}") from error
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino} {wanted}"


def _check(path: Path, wanted: str) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    if not wanted:
        raise _broken(path, "has no sha256 in the index, which every package must have")
    if digest.hexdigest() != wanted:
        raise _broken(path, f"has sha256 {digest.hexdigest()[:12]}…, the index says {wanted[:12]}…")


def _broken(path: Path, problem: str) -> HostError:
    hint = "nothing was installed; make the channel again (pixiw's own: scripts/pixiw clean cache) and repeat"
    return HostError(f"package {path.name} in {path.parent} {problem}", hint=hint)
