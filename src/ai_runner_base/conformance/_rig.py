"""One worker of the pipeline, frames that are pushed through it, and everything that it answered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import psutil

from ..errors import RunnerError
from ..supervisor import (
    LogLine,
    ParamsApplied,
    ParamsRejected,
    PipelineReported,
    Supervisor,
    SupervisorOptions,
    WorkerEvent,
    WorkerInfo,
    WorkerOutput,
    WorkerSession,
    WorkerSpec,
)
from ._outcomes import Broken
from ._pictures import Picture

TIME_BASE = Fraction(1, 90_000)
FRAME_TICKS = 3_000
"""30 frames a second."""

_TAIL_LINES = 15
_PATIENCE_S = 2.0
"""How long a full `Pipeline` may keep its last frames before they count as kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One result.

    :param seq: number of its input, 0 when it cannot be told
    :param time_s: its time on the output's timeline
    :param digest: of its pixels
    :param latency_s: from commit to return
    :param work_s: in the pipeline
    :param returned_s: when it came back, on the monotonic clock
    """

    seq: int
    time_s: float
    width: int
    height: int
    digest: bytes
    latency_s: float
    work_s: float
    returned_s: float


class Rig:
    """A supervisor with one session. It restarts nothing unless asked: a worker that ends is a finding.

    :param load_limit_s: from start to ready
    :param frame_limit_s: longest time for one frame
    :param answers_each: the pipeline gives one picture for each; else it may keep some for long
    :param restarts: how often a worker that ends is replaced
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        load_limit_s: float,
        frame_limit_s: float,
        answers_each: bool,
        restarts: int = 0,
    ) -> None:
        self._load_limit_s = load_limit_s
        self._frame_limit_s = frame_limit_s
        self._patience_s = 2 * frame_limit_s if answers_each else _PATIENCE_S
        self.options = SupervisorOptions(
            load_timeout_s=load_limit_s,
            frame_timeout_s=frame_limit_s,
            ping_timeout_s=frame_limit_s,
            restart_budget=restarts,
        )
        self.events: list[WorkerEvent] = []
        self.answers: list[Answer] = []
        self.reports: list[PipelineReported] = []
        self.lines = 0
        self.pushed = 0
        self.params: dict[str, Any] = {}
        self.output_size: tuple[int, int] | None = None
        self.supervisor = Supervisor(spec, self.options, on_event=self._on_event)
        self._session: WorkerSession | None = None
        self._pts = 0

    # Life

    async def start(self) -> WorkerInfo:
        """Start the worker and wait until it takes frames.

        :raises Broken: it does not
        """
        await self.supervisor.start()
        try:
            info = await self.supervisor.wait_ready(self._load_limit_s + 1)
        except RunnerError as error:
            raise self._broken(error) from error
        self.params, self.output_size = dict(info.params), info.output_size
        self.open()
        return info

    async def aclose(self) -> None:
        """End the worker."""
        await self.supervisor.aclose()

    @property
    def alive(self) -> bool:
        """Whether the worker still takes frames."""
        return self._session is not None and self._session.ready

    @property
    def info(self) -> WorkerInfo:
        """Facts about the worker, which is ready."""
        if self.supervisor.info is None:
            raise Broken("it is not ready")
        return self.supervisor.info

    @property
    def process(self) -> psutil.Process:
        """The worker's process."""
        return psutil.Process(self.info.pid)

    def open(self, *, lossless: bool = True) -> None:
        """Begin a stream, ending the one before."""
        if self._session is not None:
            self._session.close()
        self._session = self.supervisor.open_session(
            request_id="check", lossless=lossless, on_output=self._take, on_error=lambda message: None
        )

    # Frames

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) that the parameters in force ask for."""
        return int(self.params["width"]), int(self.params["height"])

    async def push(
        self, pictures: Iterable[Picture], *, quiet: bool = True, limit_s: float = 600.0
    ) -> list[Answer]:
        """Push frames one after the other, dropping none, and wait for what comes back.

        :param quiet: the pipeline must not complain of any of them
        :param limit_s: stop pushing after this long
        :returns: the answers, in the order in which they came
        :raises Broken: the worker ended, hung, or complained
        """
        first, reports, deadline_s = len(self.answers), len(self.reports), time.monotonic() + limit_s
        for picture in pictures:
            await self._push_one(picture)
            if time.monotonic() > deadline_s:
                break
        await self.drain()
        if quiet and len(self.reports) > reports:
            raise complaint(self.reports[reports], "it complained of a frame")
        return self.answers[first:]

    async def _push_one(self, picture: Picture) -> None:
        session = self._open_session()
        height, width = picture.shape[:2]
        slot = await asyncio.to_thread(session.acquire, width, height, self._frame_limit_s * 2)
        if slot is None:
            await self._settle()
            raise self._broken(self.supervisor.last_error, "it took no more frames")
        slot.array[...] = picture
        session.commit(slot, self._next_pts(), TIME_BASE)
        self.pushed += 1

    def offer(self, picture: Picture) -> bool:
        """Give a frame as a live stream does: never wait, the newest one counts.

        :returns: whether there was room for it
        """
        session, pts = self._open_session(), self._next_pts()
        slot = session.acquire(picture.shape[1], picture.shape[0])
        if slot is None:
            return False
        slot.array[...] = picture
        session.commit(slot, pts, TIME_BASE)
        self.pushed += 1
        return True

    async def drain(self) -> None:
        """Wait for what is under way.

        :raises Broken: the worker ended or hung
        """
        await self._open_session().drain(self._patience_s)
        await self._settle()
        if not self.alive:
            raise self._broken(self.supervisor.last_error, "its worker has ended")

    # Parameters

    async def update(self, params: dict[str, Any]) -> ParamsApplied:
        """Give the pipeline complete parameters and wait until they are in force, through a reload.

        :raises ParamsRejected: they break a rule
        :raises Broken: the pipeline raised, or the reload failed
        """
        try:
            applied = await self.supervisor.update_params(params)
            await self.supervisor.wait_ready(self._load_limit_s)
        except ParamsRejected:
            raise
        except RunnerError as error:
            raise self._broken(error) from error
        self.params, self.output_size = dict(applied.params), applied.output_size
        return applied

    # Inside

    def _open_session(self) -> WorkerSession:
        if self._session is None:
            raise Broken("it is not ready")
        return self._session

    def _next_pts(self) -> int:
        self._pts += FRAME_TICKS
        return self._pts

    async def _settle(self) -> None:
        """Let events that are on their way arrive."""
        await asyncio.sleep(0.02)

    def _broken(self, error: RunnerError | None, otherwise: str = "it has failed") -> Broken:
        if error is None:
            return Broken(otherwise, "\n".join(self.supervisor.log_tail[-_TAIL_LINES:]))
        tail = getattr(error, "remote_traceback", "") or "\n".join(self.supervisor.log_tail)
        return Broken(str(error), "\n".join(tail.splitlines()[-_TAIL_LINES:]))

    def _on_event(self, event: WorkerEvent) -> None:
        self.events.append(event)
        if isinstance(event, PipelineReported):
            self.reports.append(event)
        if isinstance(event, LogLine):
            self.lines += 1

    def _take(self, output: WorkerOutput) -> None:
        stamps = output.stamps
        self.answers.append(
            Answer(
                output.seq,
                float(output.pts * output.time_base),
                output.array.shape[1],
                output.array.shape[0],
                hashlib.blake2b(output.array.data, digest_size=8).digest(),
                (stamps.returned_ns - stamps.committed_ns) / 1e9 if stamps.committed_ns else 0.0,
                (stamps.answered_ns - stamps.taken_ns) / 1e9,
                stamps.returned_ns / 1e9,
            )
        )
        output.release()


def complaint(report: PipelineReported, what: str) -> Broken:
    """What the pipeline reported, as a finding."""
    tail = report.traceback.splitlines()[-_TAIL_LINES:]
    return Broken(f"{what}: {report.message}", "\n".join(tail))


def private_bytes(process: psutil.Process) -> int:
    """Memory of a process and its children that nobody shares with them; the rings of frames are shared."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = one.memory_info()
            total += memory.rss - memory.shared
    return total
