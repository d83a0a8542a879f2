"""What an environment held at one moment: an installer may put something else there while a worker runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path

from ._prefixes import site_packages


class Generation:
    """The content of a prefix, as it is now.

    A prefix can be a link to folders that replace each other (`workspace` makes such): then the folder is held, so
    that no installer removes it, and it alone is to be used by a program that started with it. Installers that
    change a folder in place (conda, pip) are noticed by the names of what is installed.

    :param prefix: root of an environment
    :ivar folder: where the content is
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self.folder = _folder(prefix)
        self._seen = _contents(self.folder)
        descriptor = _hold(self.folder) if self.folder != prefix else None
        self._let_go = weakref.finalize(self, os.close, descriptor) if descriptor is not None else None

    def is_current(self) -> bool:
        """Whether the prefix still holds the same."""
        return _folder(self._prefix) == self.folder and _contents(self.folder) == self._seen

    def close(self) -> None:
        """Let the folder go."""
        if self._let_go is not None:
            self._let_go()


def _folder(prefix: Path) -> Path:
    """Follow the prefix itself if it is a link; links above it are the same for everything."""
    if not prefix.is_symlink():
        return prefix
    return Path(os.path.normpath(prefix.parent / prefix.readlink()))


def _contents(folder: Path) -> frozenset[str]:
    """Names of conda's records and of Python distributions: they hold name, version and build."""
    names = [path.name for path in (folder / "conda-meta").glob("*.json")]
    for packages in site_packages(folder):
        names += [path.name for path in packages.iterdir() if path.suffix in (".dist-info", ".egg-info")]
    return frozenset(names)


def _hold(folder: Path) -> int | None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
    return None
