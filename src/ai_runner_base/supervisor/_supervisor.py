"""Keeps one pipeline running: starts its worker, replaces it when it dies or hangs, or when its source has changed.

Longer than other files: who counts as the worker, and in which state, is decided here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import CapacityError, HostError, PipelineError, RunnerError
from ..wire import control, frames, logs
from ._answers import output_size
from ._books import Books
from ._budget import RestartBudget
from ._candidate import Candidate
from ._errors import WorkerFailed
from ._events import (
    Failed,
    LogLine,
    ParamsApplied,
    ParamsTakenBack,
    PipelineReported,
    Ready,
    Reloaded,
    Reloading,
    Restarted,
    WorkerEvent,
    WorkerInfo,
    WorkerState,
)
from ._life import Life
from ._link import FrameLink
from ._options import SupervisorOptions, WorkerSpec
from ._params_memory import ParamsMemory
from ._session import WorkerOutput, WorkerSession


def _ignore(event: WorkerEvent) -> None:
    """Nobody listens."""


class Supervisor:
    """One worker and its successors. All methods belong to one event loop.

    :param spec: what to run
    :param options: limits
    :param on_event: called on the loop with every `WorkerEvent`; must not block
    """

    def __init__(
        self,
        spec: WorkerSpec,
        options: SupervisorOptions | None = None,
        *,
        on_event: Callable[[WorkerEvent], None] = _ignore,
    ) -> None:
        self.spec = spec
        self.options = options if options is not None else SupervisorOptions()
        self.state = WorkerState.STOPPED
        self.info: WorkerInfo | None = None
        self.restart_count = 0
        self.last_error: RunnerError | None = None
        self._on_event = on_event
        self._log = logging.getLogger(f"{__package__}.{spec.name}")
        self._books = Books()
        self._seqs = itertools.count(1)
        self._session_numbers = itertools.count(1)
        self._session: WorkerSession | None = None
        self._life: Life | None = None
        self._surplus: Life | None = None
        """One that is not yet, or no longer, the one that counts."""
        self._retiring: asyncio.Task[None] | None = None
        self._params = ParamsMemory(self.options.params_probation_s)
        self._log_tail: tuple[str, ...] = ()
        self._was_ready = False
        self._updating = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Begin to run, or begin again after `WorkerState.FAILED`. Returns at once; loading goes on.

        What fails later becomes state and events.
        """
        if self._task is not None and not self._task.done():
            return
        self._closing.clear()
        self._was_ready = False
        self._enter(WorkerState.STARTING)
        self._task = asyncio.create_task(self._run(), name=f"supervisor of {self.spec.name}")

    def replace_worker(self, reason: str) -> bool:
        """End a worker that lives but is of no use, as if it had hung; another one follows within the budget.

        :returns: False when no worker is ready, or it is ending already, so that there is nothing to replace
        """
        life, replaceable = self._life, (WorkerState.READY, WorkerState.RELOADING)
        if life is None or life.trouble.done() or self.state not in replaceable:
            return False
        life.give_up(reason)
        return True

    async def renew(self) -> WorkerInfo:
        """Load a new worker beside the one that runs; once it is ready it takes the next frame, and the old one ends.

        For a pipeline whose source has changed. The stream goes on, with its parameters where the new class takes
        them; changes of them wait meanwhile. Without a running worker this is `start` and `wait_ready`.

        :raises PipelineError: the new one cannot be loaded; the old one has not noticed
        :raises HostError: its environment is not usable
        """
        async with self._updating:
            with contextlib.suppress(RunnerError):
                await self._until_ready(self.options.load_timeout_s)
            if self._life is not None and self.state is WorkerState.READY:
                await self._replace(self._life)
            else:
                await self.start()
        return await self.wait_ready(self.options.load_timeout_s)

    async def _replace(self, old: Life) -> None:
        candidate = Candidate(self)
        life = self._surplus = Life(self.spec, self.options, self._books, candidate)
        try:
            info = await life.start(self._params.current)
            if self._life is not old or self._closing.is_set():
                return  # the old one's successor runs what is new as well
            candidate.is_chosen = True
            self._life, self._surplus, self.info = life, old, info
            self._became_ready(life, info)
            if self._session is not None:  # what the old one works at may still come back
                await self._session.drain(self.options.drain_timeout_s, up_to=self._session.last_seq)
        finally:
            self._retiring = asyncio.create_task(self._retire(self._surplus), name=f"retire {self.spec.name}")
            await asyncio.shield(self._retiring)

    async def _retire(self, life: Life) -> None:
        life.fail(WorkerFailed(f"the worker of {self.spec.name!r} was replaced"))
        await life.end()
        self._surplus = None

    async def wait_ready(self, timeout_s: float) -> WorkerInfo:
        """Wait until frames are welcome.

        :raises PipelineError: the pipeline cannot be loaded; `WorkerFailed`: its process ended, hung, or is
            not ready in time
        :raises HostError: its environment is not usable
        """
        await self._until_ready(timeout_s)
        if self.info is None:
            raise WorkerFailed(f"the worker of {self.spec.name!r} is not ready")
        return self.info

    async def aclose(self) -> None:
        """End the worker and everything with it. Cancelling this wait does not stop the end itself."""
        self._closing.set()
        if self._session is not None:
            self._session.close()
        for life in (self._life, self._surplus):
            if life is not None:
                life.fail(WorkerFailed(f"the worker of {self.spec.name!r} was stopped"))
        if self._task is not None:
            await asyncio.shield(self._task)
            self._task = None
        if self._retiring is not None:
            await asyncio.shield(self._retiring)
        self._enter(WorkerState.STOPPED)

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last lines that the worker, or the one before it, has written."""
        return tuple(self._life.log_tail) if self._life is not None else self._log_tail

    # Use

    async def update_params(self, params: Mapping[str, Any]) -> ParamsApplied:
        """Give the pipeline its complete parameters; what is left out falls back to the class's default.

        Waits while the worker loads, reloads or restarts. After a restart the last good ones are given again.

        :raises ParamsRejected: they break a rule; the running ones are untouched
        :raises PipelineError: the pipeline raised while taking them, or did not answer in time
        :raises HostError: the worker's environment is not usable
        """
        async with self._updating:
            await self._until_ready(self.options.load_timeout_s)
            if self._life is None:
                raise WorkerFailed(f"the worker of {self.spec.name!r} is gone")
            answer = await self._life.update_params(params)
        size = output_size(answer.output_size)
        return ParamsApplied(answer.from_seq, answer.params, size, answer.reloading)

    def open_session(
        self,
        *,
        request_id: str,
        lossless: bool = False,
        on_output: Callable[[WorkerOutput], None],
        on_error: Callable[[str], None],
    ) -> WorkerSession:
        """Begin a stream; it may begin before the worker is ready.

        :param request_id: names the stream to the pipeline
        :param lossless: wait instead of dropping
        :param on_output: called on the loop with every result, which it must release
        :param on_error: called on the loop with every complaint of the pipeline
        :raises CapacityError: the worker has a stream already
        """
        if self._session is not None:
            raise CapacityError(f"the worker of {self.spec.name!r} has a stream already")
        self._params.begin()
        self._session = WorkerSession(
            next(self._session_numbers),
            request_id,
            lossless=lossless,
            books=self._books,
            seqs=self._seqs,
            on_output=on_output,
            on_error=on_error,
            on_close=self._close_session,
        )
        if self._life is not None and self.state in (WorkerState.READY, WorkerState.RELOADING):
            self._connect_session(self._life, self._session)
        return self._session

    def _connect_session(self, life: Life, session: WorkerSession) -> None:
        session.attach(life.link)
        session.take_frames(life.takes_frames)
        ahead = self.options.lossless_credits if session.lossless else 1
        life.send(control.OpenSession(session.number, session.request_id, ahead))

    def _close_session(self, session: WorkerSession) -> None:
        session.detach(over=True)
        self._session = None
        self._params.forget()
        if self._life is not None:
            with self._books.lock:
                self._life.link.start_session(lossless=False)
            self._life.send(control.CloseSession(session.number))

    # One life after the other

    async def _run(self) -> None:
        budget = RestartBudget(self.options)
        while not self._closing.is_set():
            try:
                error, ready_s = await self._live()
            except Exception as bug:
                self._log.exception("the supervisor failed")
                error, ready_s = RunnerError(f"the supervisor failed: {bug}", hint="please report this"), 0.0
            if self._closing.is_set():
                break
            budget.earn(ready_s)
            delay_s = budget.spend() if self._can_help(error) else None
            if delay_s is None:
                self._give_up(error)
                break
            await self._announce_restart(error, delay_s)

    async def _live(self) -> tuple[RunnerError, float]:
        """One worker from spawn to burial.

        :returns: what ended it, and for how many seconds it was ready
        """
        self._enter(WorkerState.STARTING)
        life = self._life = Life(self.spec, self.options, self._books, self)
        ready_s = time.monotonic()
        try:
            self.info = await life.start(self._params.current)
            ready_s = time.monotonic()
            self._became_ready(life, self.info)
            error = await life.trouble
            while self._life is not None and self._life is not life:  # as `renew` does it
                life = self._life
                error = await life.trouble
        except RunnerError as failure:
            error, ready_s = failure, time.monotonic()
        finally:
            ready_s = time.monotonic() - ready_s
            if self._session is not None:
                self._session.detach()
            await life.end()
            self._log_tail, self._life = tuple(life.log_tail), None
        return error, ready_s

    def _became_ready(self, life: Life, info: WorkerInfo) -> None:
        self._was_ready = True
        self._params.applied(info.params, time.monotonic())
        if self._session is not None:
            self._connect_session(life, self._session)
        self._enter(WorkerState.READY)
        self._on_event(Ready(info))
        if info.initialize_error:
            text = f"initialize failed, its default parameters are in force: {info.initialize_error}"
            self.reported(control.Reported(text))

    def _can_help(self, error: RunnerError) -> bool:
        """Whether another process may fare better. What never worked and says why, will not."""
        if isinstance(error, HostError):
            return False
        return self._was_ready or isinstance(error, WorkerFailed) or not isinstance(error, PipelineError)

    def _give_up(self, error: RunnerError) -> None:
        self.last_error = error
        self._say(logging.ERROR, str(error))
        if self._session is not None:
            self._session.detach(over=True)
            self._session = None
        self._params.forget()
        self._enter(WorkerState.FAILED)
        self._on_event(Failed(error))

    async def _announce_restart(self, error: RunnerError, delay_s: float) -> None:
        self.last_error = error
        self.restart_count += 1
        self._say(logging.WARNING, f"{error.message}; restart {self.restart_count} in {delay_s:g} s")
        self._enter(WorkerState.RESTARTING)
        self._on_event(Restarted(error.message, self._log_tail, self.restart_count))
        self._reconsider_params()
        if delay_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._closing.wait()

    def _reconsider_params(self) -> None:
        suspect = self._params.died(time.monotonic())
        if suspect is not None:
            self._say(logging.ERROR, f"workers die of these parameters, they are taken back: {suspect}")
            self._on_event(ParamsTakenBack(suspect, self._params.current))

    def _say(self, level: int, text: str) -> None:
        """Log something about the worker; while it has a stream, as a line of that stream."""
        if self._session is None:
            self._log.log(level, "%s", text)
        else:
            self._session.log_context.run(self._log.log, level, "%s", text)

    # State

    def _enter(self, state: WorkerState) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until_ready(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self.state not in (WorkerState.READY, WorkerState.FAILED, WorkerState.STOPPED):
                    await self._changed.wait()
        except TimeoutError:
            text = f"{self.spec.name!r} is still {self.state.value} after {timeout_s:g} s"
            raise WorkerFailed(text, log_tail=self.log_tail) from None
        if self.state is WorkerState.FAILED and self.last_error is not None:
            raise self.last_error
        if self.state is not WorkerState.READY:
            raise WorkerFailed(f"the worker of {self.spec.name!r} is {self.state.value}")

    # What a life tells (`LifeObserver`); not for callers

    def loading(self) -> None:
        """The interpreter runs."""
        self._enter(WorkerState.LOADING)

    def applied(self, life: Life, answer: control.ParamsApplied) -> None:
        """Parameters hold, or a reload to get there has begun."""
        if not answer.reloading:
            self._params.applied(answer.params, time.monotonic())
            return
        self._enter(WorkerState.RELOADING)
        if self._session is not None:
            self._session.take_frames(answer.takes_frames)
        self._on_event(Reloading(answer.takes_frames))

    def reloaded(self, params: Mapping[str, Any]) -> None:
        """The reload has ended well; its parameters are good ones now."""
        self._params.applied(params, time.monotonic())
        if self._session is not None:
            self._session.take_frames(True)
        self._enter(WorkerState.READY)
        self._on_event(Reloaded())

    def reported(self, report: control.Reported) -> None:
        """The pipeline raised or complained."""
        self._on_event(PipelineReported(report.message, report.traceback, report.seq, report.suppressed))
        if self._session is not None:
            self._session.on_error(report.message)

    def wrote(self, lines: Sequence[logs.Line]) -> None:
        """The worker wrote lines."""
        for line in lines:
            text = f"{line.logger}: {line.text}" if line.logger else line.text
            self._say(line.level, text)
            self._on_event(LogLine(line.level, line.logger, line.text))

    def answered(self, link: FrameLink, message: frames.Result | frames.Returned) -> None:
        """A frame came back, or nothing for it; or the worker asks for more."""
        session = self._session
        if session is None or message.session != session.number:
            if isinstance(message, frames.Result):
                link.release_output(message.slot)
            return
        if message.demand:
            link.demand(message.demand)
        session.returned(link, message)
