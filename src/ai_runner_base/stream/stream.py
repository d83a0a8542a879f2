"""One live stream: a source, a worker session and a sink, joined; parameters, state and events.

Runs on the event loop; frames go through `_frame_path` beside it. A stream outlives its worker: while nobody can take
frames the viewers get a waiting picture at the input's own times.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..errors import CallerError, RunnerError
from ..media import AudioPacket, MediaInfo
from ..supervisor import (
    Failed,
    ParamsApplied,
    ParamsTakenBack,
    PipelineReported,
    Ready,
    Reloaded,
    Reloading,
    Restarted,
    Supervisor,
    WorkerEvent,
    WorkerInfo,
    WorkerState,
)
from ._ends import Feed, Sink, Source
from ._faults import Faults
from ._first_params import FirstParameters
from ._frame_path import FramePath
from ._parameters import Parameters, size_of
from ._record import Record
from .events import STATUS_INTERVAL_S, Events
from .output import Output
from .state import NO_INPUT_STOP_S, StreamState, evaluate

log = logging.getLogger(__name__)

CLOSE_LIMIT_S = 3.0
"""For each end. An orchestrator gives the whole runner 8 s from SIGTERM to SIGKILL (contract 1.4)."""
LAST_FRAMES_LIMIT_S = 0.5
"""After the input's proper end: how long the worker may take for each frame that it still has."""


class Stream:
    """Runs from `run` until the input ends, `stop` is called, or it is given up.

    :param id: names the stream in the API, in logs and on frames
    :param pipeline: its name
    :param params: wanted parameters; what is left out has its default
    :param output: what others may watch, where the sink has it
    """

    def __init__(
        self,
        id: str,
        pipeline: str,
        supervisor: Supervisor,
        source: Source,
        sink: Sink,
        params: Mapping[str, Any],
        output: Output | None = None,
    ) -> None:
        self.id, self.pipeline, self.output = id, pipeline, output
        self.events = Events(pipeline)
        self.on_worker_free: Callable[[], None] = lambda: None
        """Called once the stream has let go of its worker, before its ends are closed."""
        self.end_reason = ""
        self.record = Record()
        self._supervisor, self._source, self._sink = supervisor, source, sink
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._parameters = Parameters(supervisor, params, self._params_applied)
        self.faults = Faults(source, sink, self._parameters.outcomes)
        self._first_params = FirstParameters(
            f"stream {id}", self._parameters, self._params_given, self._params_failed
        )
        self._input_ended = False
        self._defaults = supervisor.info.default_params if supervisor.info else {}
        size = size_of(params, self._defaults)
        self._session = supervisor.open_session(
            request_id=id,
            on_output=lambda output: self.frames.give(output),
            on_error=lambda _: None,  # comes as an event, too
        )
        self.frames = FramePath(self._session, sink, *size)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters in force, or wanted first."""
        return self._parameters.current

    @property
    def state(self) -> StreamState:
        """What the stream is doing."""
        return self.record.state

    # --- life -------------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Give the parameters to a worker that is ready, so that bad ones are refused before the stream is admitted.

        A worker that does not answer soon is not waited for: what it says later ends the stream, or begins it.

        :raises CallerError: the pipeline refuses them
        :raises PipelineError: it fails over them
        """
        if self._supervisor.state is not WorkerState.READY:
            return
        try:
            await self._first_params.prepare()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Let go of the worker instead of running."""
        self._first_params.cancel()
        self._session.close()

    async def run(self) -> str:
        """Carry the stream until it ends; return why. Never raises for what a stream can meet."""
        self._session.log_as_here()
        self._first_params.follow()
        self._adopt_worker()
        self._sink.start(self.frames.sent)
        self._source.start(Feed(self._on_info, self.frames.take, self._on_audio, self._on_source_end))
        watch = asyncio.create_task(self._watch(), name=f"stream {self.id} watch")
        try:
            self.end_reason = await asyncio.shield(self._ended)
        finally:
            watch.cancel()
            await asyncio.gather(watch, *self._first_params.cancel(), return_exceptions=True)
            await self._close()
        log.info("stream ended: %s", self.end_reason)
        return self.end_reason

    def stop(self, reason: str) -> None:
        """End the stream; `run` returns when everything is closed. Calling it again changes nothing."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def _close(self) -> None:
        await self._within_limit("source", self._source.aclose())
        if self._input_ended:
            await self._within_limit("worker", self._session.drain(LAST_FRAMES_LIMIT_S))
        self._session.close()
        self.on_worker_free()
        await self._within_limit("sink", self._sink.aclose())
        if self.state is not StreamState.ERROR:
            self.record.enter(StreamState.OFFLINE)

    async def _within_limit(self, what: str, closing: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await closing
        except TimeoutError:
            log.error("the %s was not done within %s s", what, CLOSE_LIMIT_S)
        except RunnerError as error:
            log.warning("closing the %s: %s", what, error)

    # --- the source's callbacks, on its thread ------------------------------------------------------------------------

    def _on_info(self, info: MediaInfo) -> None:
        self._sink.begin(*self.frames.output_size, info)

    def _on_audio(self, packet: AudioPacket) -> None:
        self._sink.submit_audio(packet)

    def _on_source_end(self, error: Exception | None) -> None:
        self._loop.call_soon_threadsafe(self._source_ended, error)

    def _source_ended(self, error: Exception | None) -> None:
        self._input_ended = error is None
        if error is not None:
            self.note_error(f"input: {error}")
        self.stop(f"input failed: {error}" if error else "input ended")

    # --- parameters -------------------------------------------------------------------------------------------------

    async def patch_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `changes` into the parameters that are in force by then; see `replace_params`."""
        return await self._parameters.change(lambda current: self._same_size({**current, **changes}))

    async def replace_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Apply the complete parameters, after those changes that wait already.

        :returns: ``params`` now in force, ``from_frame`` they hold from, ``reloading``
        :raises CallerError: the pipeline refuses them, or they change the picture's size, which is fixed per stream,
            or too many changes wait; the running parameters are untouched
        """
        return await self._parameters.change(lambda _: self._same_size(params))

    def _same_size(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        size = size_of(params, self._defaults)
        if size != (self.frames.width, self.frames.height):
            raise CallerError(
                f"a stream keeps its size, {self.frames.width}x{self.frames.height}; asked for {size[0]}x{size[1]}",
                hint="start a new stream for another size",
            )
        return params

    def _params_applied(self, applied: ParamsApplied) -> None:
        self.frames.output_size = applied.output_size or self.frames.output_size
        self.record.params_changed(self.frames.given.last_s)

    async def control(self, params: Mapping[str, Any]) -> None:
        """Apply parameters from the control channel; a failure becomes an event."""
        try:
            await self.replace_params(params)
        except RunnerError as error:
            self.note_error(f"parameters not applied: {error}")

    # --- the worker -------------------------------------------------------------------------------------------------

    def on_worker_event(self, event: WorkerEvent) -> None:
        """Take an event of the stream's supervisor. On the event loop."""
        match event:
            case Ready(info):
                self._adopt_worker(info)
            case Reloading(takes_frames=takes):
                self.frames.hold = not takes or not self._parameters.given
                self.frames.caption = self._caption("loading")
            case Reloaded():
                self._parameters.reloaded()
                self._adopt_worker()
            case Restarted(reason, log_tail, count):
                self.frames.caption = self._caption("restarting")
                self._parameters.worker_died()
                self.record.restarted(log_tail)
                self.faults.add("worker_restart")
                self.events.restart(count, list(log_tail), reason)
            case ParamsTakenBack(instead=instead):
                self._params_taken_back(has_others=instead is not None)
            case PipelineReported(message=message, suppressed=suppressed):
                self.faults.add("pipeline_error", 1 + suppressed)
                self.note_error(message)
            case Failed(error):
                self.faults.add("worker_failed")
                self.note_error(f"the worker gave up: {error}")

    def _params_taken_back(self, *, has_others: bool) -> None:
        """Without earlier parameters of its own the stream must not go on: nobody asked for the pipeline's."""
        self.faults.add("params_taken_back")
        self.note_error("parameters taken back: workers die of them, one after the other")
        if not has_others or self._parameters.outcomes["applied"] < 2:
            self.stop("parameters kill the worker")

    def _caption(self, words: str) -> str:
        return words if self.params.get("show_reloading_frame", True) else ""

    def _adopt_worker(self, started: WorkerInfo | None = None) -> None:
        """Let frames through once the worker has the stream's parameters.

        :param started: a worker that has just started; a successor has them, or those that it was given instead
        """
        if self._supervisor.state is not WorkerState.READY:
            return
        self.record.loaded()
        if self._parameters.given:
            if started is not None:
                self._parameters.adopt(started.params)
            self.frames.hold = False
        elif not self._first_params.under_way and not self._first_params.begin():
            self.stop("parameters refused: no worker survives loading them")

    def _params_given(self) -> None:
        self.record.loaded()
        self.frames.hold = not self._parameters.given

    def _params_failed(self, error: Exception, is_end: bool) -> None:
        self.note_error(f"parameters not applied: {error}")
        if is_end:
            self.stop(f"parameters refused: {error}")

    def note_error(self, message: str) -> None:
        """Report something that went wrong; the stream goes on."""
        self.record.failed(message)
        self.events.error(message)

    # --- state ------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        next_status_s = time.monotonic() + STATUS_INTERVAL_S
        while True:
            await asyncio.sleep(1)
            self._evaluate()
            self._tell_faults()
            self.events.tick()
            if time.monotonic() >= next_status_s:
                next_status_s += STATUS_INTERVAL_S
                self.events.emit("status", **self.report(), stages=self.frames.stages.summary())

    def _tell_faults(self) -> None:
        sentence, counts = self.faults.news()
        if counts:
            self.events.emit("fault", pipeline=self.pipeline, message=sentence, counts=counts)

    def _evaluate(self) -> None:
        snapshot = self.record.snapshot(
            worker_failed=self._supervisor.state is WorkerState.FAILED,
            worker_ready=self._supervisor.state is WorkerState.READY,
            taken=self.frames.taken,
            given=self.frames.given,
        )
        rule = evaluate(snapshot)
        if rule.then is not self.state:
            log.info("%s → %s: %s", self.state, rule.then, rule.name)
            self.record.enter(rule.then)
        if rule.replaces_worker and self._supervisor.replace_worker(rule.name):
            self.record.replaced()
        if rule.then is StreamState.ERROR:
            self.note_error(f"stream given up: {rule.name}")
            self.stop(f"given up: {rule.name}")
        elif snapshot.since_input_s > NO_INPUT_STOP_S:
            self.stop(f"no input for {NO_INPUT_STOP_S:.0f} s")

    def report(self) -> dict[str, Any]:
        """Return the status in the network's shape (contract 2.2), without its event envelope."""
        return {
            "pipeline": self.pipeline,
            **self.record.report(
                self.frames.taken, self.frames.given, self.params, self._supervisor.restart_count
            ),
        }

    def fault_counts(self) -> dict[str, int]:
        """Return what went wrong so far, by kind."""
        return dict(self.faults.counts())

    def param_counts(self) -> dict[str, int]:
        """Return changes of parameters so far, by outcome."""
        return dict(self._parameters.outcomes)

    def frame_counts(self) -> dict[str, int]:
        """Return what became of the frames so far, by outcome."""
        counters = self._session.counters
        return {
            "in": self.frames.taken.total,
            "out": self.frames.given.total,
            "replaced": counters.replaced,
            "lost": counters.lost,
            "unanswered": counters.unanswered,
            **vars(self.frames.drops),
        }

    def codecs(self) -> dict[str, str]:
        """Return what decodes and encodes the stream; ends that do not, or not yet, are left out."""
        found = {
            "decoder": self._source.status().get("decoder"),
            "encoder": self._sink.status().get("encoder"),
        }
        return {kind: str(name) for kind, name in found.items() if name}

    def status(self) -> dict[str, Any]:
        """Return everything about the stream, for ``GET /streams/{id}``."""
        return {
            "id": self.id,
            "state": str(self.state),
            "model_id": self.pipeline,
            "params": self.params,
            "end_reason": self.end_reason,
            "report": self.report(),
            "stages": self.frames.stages.summary(),
            "frames": self.frame_counts(),
            "faults": self.fault_counts(),
            "source": self._source.status(),
            "sink": self._sink.status(),
            "events": list(self.events.recent),
        }
