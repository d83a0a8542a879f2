"""`scripts/pixiw` for another repository: the script, its requirements, and its program, packed."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import HostError

_PACKAGE = Path(__file__).parents[1]
_MAIN = "cli/_pixiw_bootstrap.py"
_PARTS = (
    "__init__.py",
    "errors.py",
    "channel/*.py",
    "workspace/*.py",
    "cli/__init__.py",
    "cli/pixiw.py",
    "cli/_pixiw_*.py",
)
_FILES = ("pixiw", "pixiw-requirements.txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def packed_pixiw() -> bytes:
    """The program behind `scripts/pixiw` as an archive that Python can start; the same for the same sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "__main__.py", _PACKAGE / _MAIN)
        for path in _sources():
            _add(archive, f"{_PACKAGE.name}/{path.relative_to(_PACKAGE)}", path)
    return buffer.getvalue()


def _sources() -> Iterator[Path]:
    for pattern in _PARTS:
        yield from sorted(_PACKAGE.glob(pattern))


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, path.read_bytes())


def write_wrapper(folder: Path) -> None:
    """Write the wrapper's files.

    :raises HostError: this installation lacks them
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(_file(name), folder / name)
    (folder / "pixiw").chmod(0o755)
    (folder / "pixiw.pyz").write_bytes(packed_pixiw())


def _file(name: str) -> Path:
    """In an installed package a copy lies beside this file; in a working copy the original counts."""
    for place in (Path(__file__).with_name("scripts") / name, _PACKAGE.parents[1] / "scripts" / name):
        if place.is_file():
            return place
    raise HostError(f"this installation of ai-runner-base lacks {name}", hint="install it again")
