"""One life of a worker: spawn, handshake, load, heartbeat, end. Restarting is its owner's business."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .. import __version__
from ..errors import CallerError, PipelineError, RunnerError
from ..wire import PROTOCOL_VERSION, WireError, control, frames, logs
from ._answers import applied, missing_package, output_size, version_error
from ._books import Books
from ._channel import ControlChannel
from ._errors import WorkerFailed
from ._events import WorkerInfo
from ._explain import explain_exit, oom_kills
from ._link import FrameLink
from ._options import SupervisorOptions, WorkerSpec
from ._process import WorkerProcess

_log = logging.getLogger(__name__)

_KILL_TIMEOUT_S = 5.0
_STACK_DUMP_S = 0.3
_READ_GRACE_S = 0.05


class LifeObserver(Protocol):
    """Who wants to know what a worker says on its own account. All calls come on the loop."""

    def loading(self) -> None:
        """The interpreter runs; the pipeline is being loaded."""

    def reported(self, report: control.Reported) -> None:
        """The pipeline raised or complained."""

    def applied(self, life: Life, answer: control.ParamsApplied) -> None:
        """Parameters hold, or a reload to get there has begun."""

    def reloaded(self, params: Mapping[str, Any]) -> None:
        """A long reload to these parameters has ended well."""

    def wrote(self, lines: Sequence[logs.Line]) -> None:
        """The process wrote lines."""

    def answered(self, link: FrameLink, message: frames.Result | frames.Returned) -> None:
        """A result, or the lack of one."""


class Life:
    """A worker process from spawn to burial.

    Whatever ends it is the result of `trouble`: an error for people. `end` must be called in any case.

    :param books: guards the books of frames
    """

    def __init__(
        self, spec: WorkerSpec, options: SupervisorOptions, books: Books, observer: LifeObserver
    ) -> None:
        self._spec = spec
        self._options = options
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self.trouble: asyncio.Future[RunnerError] = self._loop.create_future()
        self.log_tail: deque[str] = deque(maxlen=options.log_tail_lines)
        self.takes_frames = True
        self.link = FrameLink(options.slots, options.max_frame_bytes, books, observer.answered, self._broken)
        self._channel = ControlChannel(self._received, self._broken)
        self._process: WorkerProcess | None = None
        self._hello: control.Hello | None = None
        self._ready: asyncio.Future[control.Ready] = self._loop.create_future()
        self._params: Mapping[str, Any] | None = None
        self._requests = itertools.count(1)
        self._answers: dict[int, asyncio.Future[control.ControlMessage]] = {}
        self._heartbeat: asyncio.Task[None] | None = None
        self._last_pong_s = 0.0
        self._closer_look: asyncio.TimerHandle | None = None
        self._reload: control.ParamsApplied | None = None
        self._reload_since_s = 0.0
        self._oom_kills = oom_kills()
        self._graceful = True
        self._ends_by_itself = False

    @property
    def pid(self) -> int:
        """Process id; 0 before the spawn."""
        return self._process.pid if self._process is not None else 0

    async def start(self, params: Mapping[str, Any] | None) -> WorkerInfo:
        """Spawn, shake hands, load.

        :param params: to initialize with; None: the pipeline's own
        :raises RunnerError: it did not get ready; the error says why
        """
        started_s = time.monotonic()
        self._params = params
        await self._spawn()
        waiting: set[asyncio.Future[Any]] = {self._ready, self.trouble}
        await asyncio.wait(waiting, timeout=self._options.load_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not self.trouble.done() and not self._ready.done():
            self.fail(
                self._failed(f"not ready {self._options.load_timeout_s:g} s after its start", hung=True)
            )
        if self.trouble.done():
            raise self.trouble.result()
        self._heartbeat = asyncio.create_task(self._watch(), name=f"heartbeat of {self._spec.name}")
        return self._info(self._ready.result(), time.monotonic() - started_s)

    def fail(self, error: RunnerError) -> None:
        """End this life for a reason; the first one counts."""
        if not self.trouble.done():
            self.trouble.set_result(error)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(
                    WorkerFailed(f"the worker of {self._spec.name!r} ended before it answered")
                )

    def give_up(self, reason: str) -> None:
        """End this life as that of a worker that hangs: its stacks go to the log, it is not asked to stop."""
        self.fail(self._failed(reason, hung=True))

    def send(self, message: control.ControlMessage) -> None:
        """Send a control message; nothing happens when the worker is gone."""
        self._channel.send(message)

    async def update_params(self, params: Mapping[str, Any]) -> control.ParamsApplied:
        """Give complete parameters to the pipeline.

        :raises ParamsRejected: they break a rule
        :raises PipelineError: the pipeline raised, or did not answer in time, or the worker is gone
        """
        if self.trouble.done():
            raise WorkerFailed(f"the worker of {self._spec.name!r} is gone")
        request = next(self._requests)
        answer = self._answers[request] = self._loop.create_future()
        try:
            self.send(control.UpdateParams(request, dict(params)))
            async with asyncio.timeout(self._options.params_timeout_s):
                return applied(await answer)
        except WireError as error:
            raise CallerError(f"the parameters cannot be sent: {error}") from error
        except TimeoutError:
            limit_s = self._options.params_timeout_s
            raise self._failed(f"did not take its parameters within {limit_s:g} s") from None
        finally:
            del self._answers[request]

    async def end(self) -> None:
        """The ladder: stop message, SIGTERM, SIGKILL to the group, each with a limit."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._heartbeat
        if self._closer_look is not None:
            self._closer_look.cancel()
        if self._process is not None:
            await self._end_process(self._process)
        self.fail(WorkerFailed("the worker was ended"))
        await self._channel.aclose()
        self.link.close()

    async def _end_process(self, process: WorkerProcess) -> None:
        options = self._options
        if self._graceful and (self._ready.done() or self._ends_by_itself):
            self.send(control.Stop(options.drain_timeout_s))
            if await process.wait(options.drain_timeout_s):
                return
            _log.warning("%s did not stop within %g s", self._spec.name, options.drain_timeout_s)
        if not self._graceful:
            process.signal(signal.SIGUSR1)  # faulthandler writes all stacks to the log
            await process.wait(_STACK_DUMP_S)
        process.signal(signal.SIGTERM)
        if await process.wait(options.terminate_timeout_s):
            return
        process.kill_group()
        if not await process.wait(_KILL_TIMEOUT_S):
            _log.error("process %d of %s cannot be killed; a driver may hang", process.pid, self._spec.name)

    # Beginning

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            fds = dict(zip(("frame", "input", "output"), self.link.child_fds, strict=True))
            fds["control"] = theirs.fileno()
            self._process = WorkerProcess(self._spec, fds, self._wrote, self._exited)
            await self._loop.create_unix_connection(lambda: self._channel, sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.link.connect()
        self.send(control.Hello(PROTOCOL_VERSION, __version__))

    def _greeted(self, hello: control.Hello) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            self.fail(version_error(self._spec, hello))
            return
        self._hello = hello
        self._observer.loading()
        params = dict(self._params) if self._params is not None else None
        self.send(control.Load(self._spec.entry_point, self._options.slots, params))

    def _info(self, ready: control.Ready, load_s: float) -> WorkerInfo:
        hello = self._hello or control.Hello(PROTOCOL_VERSION, "")
        return WorkerInfo(
            pid=self.pid,
            package_version=hello.package_version,
            python_version=hello.python_version,
            params_schema=ready.params_schema,
            default_params=ready.default_params,
            params=ready.params,
            output_size=output_size(ready.output_size),
            capabilities=frozenset(ready.capabilities),
            load_s=load_s,
            initialize_error=ready.initialize_error,
        )

    # What comes from the worker

    def _received(self, message: control.ControlMessage) -> None:
        match message:
            case control.Hello():
                self._greeted(message)
            case control.Ready():
                if not self._ready.done():
                    self._ready.set_result(message)
            case control.LoadFailed(text, trace, hint):
                self._ends_by_itself = True
                text = f"{self._spec.name!r} could not be loaded: {text}"
                self.fail(PipelineError(text, hint=hint, remote_traceback=trace))
            case control.Pong():
                self._check(message)
            case control.ParamsApplied() | control.ParamsRejected() | control.ParamsFailed():
                self._settle(message)
            case control.Reported():
                self._observer.reported(message)
            case control.Reloaded(text, trace):
                self._reload_ended(text, trace)
            case control.Stopped():
                pass
            case _:
                self._broken(f"the worker sent a {type(message).__name__}, which is the runner's to send")

    def _settle(self, message: control.ParamsApplied | control.ParamsRejected | control.ParamsFailed) -> None:
        if isinstance(message, control.ParamsApplied):
            if message.reloading:
                self._reload, self._reload_since_s = message, time.monotonic()
                self.takes_frames = message.takes_frames
            self._observer.applied(self, message)
        answer = self._answers.get(message.request)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _reload_ended(self, message: str, trace: str) -> None:
        reload, self._reload = self._reload, None
        self.takes_frames = True
        self._last_pong_s = time.monotonic()
        if message:
            text = f"the reload of {self._spec.name!r} failed: {message}"
            self.fail(PipelineError(text, remote_traceback=trace))
        elif reload is not None:
            self._observer.reloaded(reload.params)

    def _wrote(self, lines: Sequence[logs.Line]) -> None:
        self.log_tail.extend(line.text for line in lines)
        self._observer.wrote(lines)

    def _broken(self, reason: str) -> None:
        self.fail(self._failed(reason))

    def _exited(self, code: int) -> None:
        missing = missing_package(self._spec, self.log_tail) if self._hello is None else None
        if missing is not None:
            self.fail(missing)
            return
        reason = explain_exit(code, oom_kills_before=self._oom_kills, oom_kills_now=oom_kills())
        self.fail(self._failed(reason))

    def _failed(self, reason: str, *, hung: bool = False) -> WorkerFailed:
        if hung:
            self._graceful = False
        return WorkerFailed(f"{self._spec.name!r}: {reason}", log_tail=tuple(self.log_tail))

    # Heartbeat

    async def _watch(self) -> None:
        """Ping until cancelled; `_check` reads the answers."""
        self._last_pong_s = time.monotonic()
        while True:
            self.send(control.Ping(next(self._requests)))
            await asyncio.sleep(self._options.ping_interval_s)
            if self._overdue():
                # This loop itself may have been held up: let it read what has come meanwhile.
                await asyncio.sleep(_READ_GRACE_S)
                if reason := self._overdue():
                    self.fail(self._failed(reason, hung=True))

    def _overdue(self) -> str:
        """What has taken too long, if anything. A reload may hold the interpreter's lock for long."""
        options, now_s = self._options, time.monotonic()
        if self._reload is not None:
            overdue = now_s - self._reload_since_s > options.load_timeout_s
            return f"a reload has taken more than {options.load_timeout_s:g} s" if overdue else ""
        overdue = now_s - self._last_pong_s > options.ping_timeout_s
        return f"no heartbeat for {options.ping_timeout_s:g} s" if overdue else ""

    def _check(self, pong: control.Pong) -> None:
        self._last_pong_s = time.monotonic()
        if self._reload is not None:
            return
        limit_s = self._options.frame_timeout_s
        if pong.frame_in_progress_s > limit_s:
            self.fail(self._failed(f"one frame has taken more than {limit_s:g} s", hung=True))
        elif pong.loop_blocked_s > limit_s:
            self.fail(self._failed(f"its event loop has been blocked for more than {limit_s:g} s", hung=True))
        else:
            self._look_closer(limit_s - max(pong.frame_in_progress_s, pong.loop_blocked_s))

    def _look_closer(self, left_s: float) -> None:
        """Ping at the very end of a limit that comes before the next ping does."""
        if left_s < min(self._options.ping_interval_s, self._options.frame_timeout_s):
            ping = control.Ping(next(self._requests))
            self._closer_look = self._loop.call_later(left_s + _READ_GRACE_S, self.send, ping)
