"""Drives a supervisor with frames that are one value all over, and remembers all that comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ai_runner_base.supervisor import (
    Supervisor,
    SupervisorOptions,
    WorkerEvent,
    WorkerOutput,
    WorkerSession,
    WorkerSpec,
)

TIME_BASE = Fraction(1, 90_000)
READY_TIMEOUT_S = 30.0
FRAME_TIMEOUT_S = 10.0


def spec_of(prefix: Path, name: str, **more: Any) -> WorkerSpec:
    """A pipeline of ``tests/pipelines`` in a prefix."""
    return WorkerSpec(prefix, f"sample_{name}:Sample", name, env={"HOME": "/nonexistent"}, **more)


class Driver:
    """A supervisor, its events, and the results of its session.

    Results are copied and released at once, unless `hold` is set.
    """

    def __init__(self, spec: WorkerSpec, options: SupervisorOptions | None = None) -> None:
        self.events: list[WorkerEvent] = []
        self.errors: list[str] = []
        self.held: list[WorkerOutput] = []
        self.hold = False
        self.outputs: asyncio.Queue[tuple[WorkerOutput, np.ndarray]] = asyncio.Queue()
        self.supervisor = Supervisor(spec, options, on_event=self.events.append)
        self.session: WorkerSession | None = None

    def open(self, request_id: str = "stream", *, lossless: bool = False) -> WorkerSession:
        self.session = self.supervisor.open_session(
            request_id=request_id, lossless=lossless, on_output=self._take, on_error=self.errors.append
        )
        return self.session

    def give(self, value: int, pts: int, size: tuple[int, int] = (32, 16)) -> int:
        """Commit one frame of a value.

        :returns: its number
        """
        assert self.session is not None
        slot = self.session.acquire(*size)
        assert slot is not None
        slot.array[:] = value
        return self.session.commit(slot, pts, TIME_BASE)

    async def next(self, timeout_s: float = FRAME_TIMEOUT_S) -> tuple[WorkerOutput, np.ndarray]:
        return await asyncio.wait_for(self.outputs.get(), timeout_s)

    async def through(self, value: int, pts: int, size: tuple[int, int] = (32, 16)) -> np.ndarray:
        """One frame there and back.

        :returns: copy of the result
        """
        self.give(value, pts, size)
        output, picture = await self.next()
        assert output.pts == pts
        return picture

    async def event(self, kind: type, timeout_s: float = READY_TIMEOUT_S) -> Any:
        """Wait for the first event of a kind since the last call for it, and remove it."""
        return await self.until(lambda: self._pop(kind), timeout_s)

    async def until(self, condition: Callable[[], Any], timeout_s: float = FRAME_TIMEOUT_S) -> Any:
        """Wait for a condition to be true, by looking; only tests may poll."""
        async with asyncio.timeout(timeout_s):
            while not (result := condition()):
                await asyncio.sleep(0.01)
        return result

    def _pop(self, kind: type) -> WorkerEvent | None:
        for event in self.events:
            if isinstance(event, kind):
                self.events.remove(event)
                return event
        return None

    def _take(self, output: WorkerOutput) -> None:
        self.outputs.put_nowait((output, output.array.copy()))
        if self.hold:
            self.held.append(output)
        else:
            output.release()


@asynccontextmanager
async def running(
    prefix: Path, name: str, options: SupervisorOptions | None = None, *, session: bool = True
) -> AsyncIterator[Driver]:
    """A pipeline that is ready, with a live session."""
    driver = Driver(spec_of(prefix, name), options)
    try:
        await driver.supervisor.start()
        await driver.supervisor.wait_ready(READY_TIMEOUT_S)
        if session:
            driver.open()
        yield driver
    finally:
        await driver.supervisor.aclose()


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_fds() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
