"""Where pixiw keeps its things, and the small files in it. Nothing is written outside of this folder.

::

    .pixiw/
      bootstrap/          the interpreter environment that runs pixiw itself (made by scripts/pixiw)
      channel/            built and mirrored packages (owned by the provider)
      cache/              packages, unpacked; environments hard-link their files from here
      envs/NAME           a symlink to the current generation: the prefix that scripts name
      generations/NAME-N/ complete environments; the newest is current
      state/NAME.json     what is in envs/NAME and what it was made from
      lock                held while anything here changes
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError


@dataclass(frozen=True, slots=True)
class Home:
    """The folder and what lies where in it.

    :param elsewhere: folder of the prefixes where it is not ``envs`` in here: `beside` sets it
    """

    root: Path
    elsewhere: Path | None = None

    @classmethod
    def of(cls, workspace: Path, override: str | None) -> Home:
        """``.pixiw`` in the workspace, or ``PIXIW_HOME`` where that is set."""
        return cls(Path(override).absolute() if override else workspace / ".pixiw")

    @classmethod
    def beside(cls, environments: Path) -> Home:
        """A folder of its own in a folder of environments that others (conda, pixi, pixiw) may use as well."""
        return cls(environments / ".ai-runner", environments)

    @property
    def owner(self) -> str:
        """The program whose home it is, for messages."""
        return "pixiw" if self.elsewhere is None else "ai-runner"

    @property
    def channel(self) -> Path:
        """The provider's folder."""
        return self.root / "channel"

    @property
    def cache(self) -> Path:
        """Unpacked packages and downloads."""
        return self.root / "cache"

    @property
    def environments(self) -> Path:
        """Folder of the prefixes."""
        return self.root / "envs" if self.elsewhere is None else self.elsewhere

    @property
    def generations(self) -> Path:
        """Folder of the environments' contents."""
        return self.root / "generations"

    @property
    def log(self) -> Path:
        """What the last installation had to say."""
        return self.root / "log.txt"

    def prefix(self, environment: str) -> Path:
        """The stable path of an environment."""
        return self.environments / environment

    def state(self, environment: str) -> Path:
        """What an environment was made from."""
        return self.root / "state" / f"{environment}.json"

    def task_cache(self, environment: str) -> Path:
        """What tasks with inputs and outputs last saw."""
        return self.root / "state" / f"{environment}.tasks.json"

    def make(self) -> None:
        """Create the folder.

        :raises HostError: it cannot be written to
        """
        try:
            for folder in (self.root, self.environments, self.generations, self.root / "state", self.cache):
                folder.mkdir(parents=True, exist_ok=True)
            if not (self.root / ".gitignore").exists():
                (self.root / ".gitignore").write_text("*\n")
        except OSError as error:
            setting = "set PIXIW_HOME to" if self.elsewhere is None else "name with --prefix"
            hint = f"{setting} a folder that can be written to"
            raise HostError(f"cannot write to {self.root}: {error.strerror}", hint=hint) from error

    @contextlib.contextmanager
    def locked(self, purpose: str, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock; another process waits. The kernel frees it however the holder ends.

        :param purpose: what for; shown to those who wait
        :param on_wait: called once with a sentence when somebody else holds it
        """
        self.make()
        with (self.root / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                on_wait(f"waiting for another {self.owner}: {file.read().strip() or 'just starting'}")
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"process {os.getpid()}, {purpose}, since {time.strftime('%H:%M:%S')}")
            file.flush()
            yield

    @contextlib.contextmanager
    def lock_if_free(self) -> Iterator[bool]:
        """Hold the lock if nobody else does; whether it is held."""
        with (self.root / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def read_json(path: Path) -> dict[str, Any] | None:
    """An object from a file; None when it is missing or was not written by us."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file at once: readers see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
    temporary.replace(path)
