"""Where environments lie."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

ENVIRONMENTS_FOLDER = "envs"
"""Name of the folder in which pixi, conda and this project's own installer keep environments side by side."""


def is_environment(path: Path) -> bool:
    """Whether a folder is the root of a conda environment or a venv."""
    return (path / "conda-meta").is_dir() or (path / "pyvenv.cfg").is_file()


def environment_name(prefix: Path) -> str:
    """Name of an environment: its folder's, or ``base`` where other environments lie inside it."""
    is_base = (prefix / ENVIRONMENTS_FOLDER).is_dir() and (prefix / "conda-meta").is_dir()
    return "base" if is_base else prefix.name


def environments_folder(own: Path | None = None) -> Path:
    """The folder in which siblings of an environment lie, whether it is there yet or not.

    :param own: this interpreter's prefix when None
    """
    own = Path(sys.prefix) if own is None else own
    return own.parent if own.parent.name == ENVIRONMENTS_FOLDER else own / ENVIRONMENTS_FOLDER


def known_prefixes(own: Path | None = None) -> tuple[Path, ...]:
    """The own prefix, then its siblings by name.

    Siblings are the environments in the same folder ``envs``, or in the own prefix's folder ``envs``. Nothing
    else is looked at: a neighbour by chance, such as another venv in a home folder, is none.

    :param own: this interpreter's prefix when None
    """
    own = Path(sys.prefix) if own is None else own
    around = environments_folder(own)
    base = [own.parent.parent] if around == own.parent else []
    inside = sorted(around.iterdir()) if around.is_dir() else []
    found = [path for path in (*inside, *base) if path != own and is_environment(path)]
    return (own, *found)


def site_packages(prefix: Path) -> tuple[Path, ...]:
    """Folders in which a prefix keeps Python distributions, without asking its interpreter."""
    if prefix == Path(sys.prefix):
        own = (Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))
        return tuple(dict.fromkeys(path for path in own if path.is_dir()))
    return tuple(sorted(path for path in prefix.glob("lib/python3*/site-packages") if path.is_dir()))
