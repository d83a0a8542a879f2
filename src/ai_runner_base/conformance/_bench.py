"""What the checks of one pipeline share: its environment, its workers, and what was found out so far."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..catalog import InstalledPipeline, activation_environment
from ..supervisor import WorkerSpec
from ._options import CheckOptions
from ._outcomes import Broken
from ._rig import Rig

_MARK = "AI_RUNNER_CHECK"
"""Variable that every process of the pipeline inherits, so that what it leaves behind can be found."""
_GONE_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Scene:
    """What a still scene looks like under some parameters, once it does not change any more."""

    params: dict[str, Any]
    digest: bytes


class Bench:
    """One pipeline under examination.

    :param installed: it must be startable
    """

    def __init__(self, installed: InstalledPipeline, options: CheckOptions) -> None:
        self.installed = installed
        self.options = options
        self.description: Mapping[str, Any] = {}
        self.scenes: list[Scene] = []
        self._mark = secrets.token_hex(8)
        self._main: Rig | None = None
        self._second: Rig | None = None
        self.load_s = 0.0

    @cached_property
    def outside(self) -> dict[str, str]:
        """The variables that activation starts from."""
        env = {**os.environ, _MARK: self._mark}
        return env | {"CUDA_VISIBLE_DEVICES": ""} if self.options.cpu else env

    @cached_property
    def environment(self) -> dict[str, str]:
        """The pipeline's environment variables.

        :raises HostError: its environment cannot be activated
        """
        return activation_environment(self.installed.prefix, self.outside)

    @property
    def is_frame_pipeline(self) -> bool:
        """One picture in, one picture out."""
        return self.description.get("kind") == "frame"

    # Workers

    def rig(self, *, restarts: int = 0) -> Rig:
        """Make a worker; the caller starts and closes it."""
        item, options = self.installed, self.options
        spec = WorkerSpec(
            item.prefix, item.entry_point, item.name, item.package, item.version, self.environment
        )
        return Rig(
            spec,
            load_limit_s=options.load_limit_s,
            frame_limit_s=options.frame_limit_s,
            answers_each=self.is_frame_pipeline,
            restarts=restarts,
        )

    async def main(self) -> Rig:
        """The worker that most checks use, with the initial parameters in force; a new one if it is broken."""
        if self._main is None or not self._main.alive:
            await self._close(self._main)
            self._main = self.rig()
            self.load_s = (await self._main.start()).load_s
        elif self._main.params != self.initial:
            await self._main.update(self.initial)
        self._main.open()
        return self._main

    async def second(self) -> Rig:
        """Another worker beside `main`, which is replaced when it dies."""
        if self._second is None:
            self._second = self.rig(restarts=1)
            await self._second.start()
        return self._second

    def take_main(self) -> Rig | None:
        """Hand over `main` to somebody who closes it."""
        rig, self._main = self._main, None
        return rig

    @property
    def initial(self) -> dict[str, Any]:
        """The parameters to start with, complete."""
        return dict(self.description.get("default_params", {}))

    async def aclose(self) -> None:
        """End all workers, and what they have left behind."""
        for rig in (self._main, self._second):
            await self._close(rig)
        for pid in self.survivors():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _close(self, rig: Rig | None) -> None:
        if rig is not None:
            await rig.aclose()

    # Processes

    def survivors(self) -> list[int]:
        """Processes that carry our mark: workers, and all that they have started."""
        mark = f"{_MARK}={self._mark}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    async def require_none_left(self, known: set[int], within_s: float = 1.0) -> None:
        """Wait until every process that is not in `known` has gone.

        :raises Broken: there are some, which are ended now
        """
        left = self._left(known)
        for _ in range(int(within_s / _GONE_POLL_S)):
            if not left:
                return
            await asyncio.sleep(_GONE_POLL_S)
            left = self._left(known)
        names = [f"{pid} ({_command(pid)})" for pid in left]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if names:
            raise Broken(f"processes left behind: {', '.join(names)}")

    def _left(self, known: set[int]) -> list[int]:
        return [pid for pid in self.survivors() if pid not in known]


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return words.strip()[:60]
    return "gone"
