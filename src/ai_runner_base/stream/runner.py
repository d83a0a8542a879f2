"""The runner: its workers and its live streams. Starts streams, ends them, and answers for the whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..catalog import shipped_check
from ..errors import CapacityError
from ..log_context import set_stream_ids
from ..supervisor import Failed, WorkerEvent, WorkerState
from ..trickle import short_url
from ._totals import Totals
from .events import now_ms
from .pool import Pool, Seat
from .state import HEALTH, Snapshot, StreamState, evaluate
from .stream import Stream

log = logging.getLogger(__name__)

CLOSE_LIMIT_S = 7.0
"""Longer than a stream takes whose peers do not answer any more."""
REVIVE_AFTER_S = 60.0
KEPT_ENDED = 20


@dataclass(frozen=True)
class StreamRequest:
    """What a caller asks for; fields as in ``POST /live-video-to-video``."""

    subscribe_url: str
    publish_url: str
    control_url: str = ""
    events_url: str = ""
    model_id: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    gateway_request_id: str = ""
    manifest_id: str = ""
    stream_id: str = ""


class Connected(Protocol):
    """A stream with the channels around it."""

    stream: Stream

    async def run(self) -> None:
        """Carry both until the stream ends."""


Connect = Callable[[StreamRequest, str, Seat], Connected]


class Runner:
    """Owns the pool of workers and the tasks of the streams.

    :param connect: makes a stream with its ends for a request, a new id and a worker
    """

    def __init__(self, pool: Pool, connect: Connect) -> None:
        self.pool = pool
        self.streams: dict[str, Stream] = {}
        self.ended: deque[dict[str, Any]] = deque(maxlen=KEPT_ENDED)
        """How the last streams ended, oldest first."""
        self.totals = Totals()
        self._connect = connect
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._revivals: set[asyncio.Task[None]] = set()
        self._closing = False
        self._admitting: set[str] = set()
        self._none_admitted = asyncio.Event()
        self._none_admitted.set()

    async def start(self) -> None:
        """Start the workers; pipelines load in the background."""
        await self.pool.start()

    async def drain(self, limit_s: float) -> None:
        """Admit no stream any more and wait for the live ones to end by themselves, at most `limit_s`."""
        self._closing = True
        if self._tasks:
            log.info("draining: %d stream(s) may end within %g s", len(self._tasks), limit_s)
            await asyncio.wait(self._tasks.values(), timeout=limit_s)

    async def aclose(self) -> None:
        """End all streams, then all workers; bounded in time."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._none_admitted.wait()  # a worker that is just being taken would outlive the pool
        for stream in list(self.streams.values()):
            stream.stop("the runner shuts down")
        await asyncio.gather(self._end_tasks(), self.pool.aclose())

    async def _end_tasks(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=CLOSE_LIMIT_S)
        late = [*self._tasks.values(), *self._revivals]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def on_worker_event(self, seat: Seat, event: WorkerEvent) -> None:
        """Pass an event of a worker to the stream that has it."""
        stream = self.streams.get(seat.taken_by or "")
        if stream is not None:
            stream.on_worker_event(event)
        if isinstance(event, Failed) and not self._closing:
            task = asyncio.create_task(self._revive(seat), name=f"revive {seat.name}")
            self._revivals.add(task)
            task.add_done_callback(self._revivals.discard)

    async def _revive(self, seat: Seat) -> None:
        """Try a worker again that has spent its restarts: nobody outside may be there to do it (contract 1.5)."""
        await asyncio.sleep(REVIVE_AFTER_S)
        if seat.supervisor.state is WorkerState.FAILED and seat in self.pool:
            log.info("trying %s again", seat.name)
            await seat.supervisor.start()

    # --- streams ----------------------------------------------------------------------------------------------------

    async def start_stream(self, request: StreamRequest, connect: Connect | None = None) -> Stream:
        """Admit a stream and start it.

        :param connect: makes the stream with other ends than the runner's usual ones
        :raises CallerError: unknown pipeline, or parameters that it refuses
        :raises CapacityError: no worker is free
        """
        id = self._new_id(request)
        with self._admission(id):
            self._check_open()
            seat = await self.pool.take(request.model_id, id)
            try:
                connected = (connect or self._connect)(request, id, seat)
                await connected.stream.prepare()
                if self._closing:
                    connected.stream.abandon()
                    self._check_open()
            except BaseException:
                seat.taken_by = None
                raise
            self.streams[id] = connected.stream
            self._tasks[id] = asyncio.create_task(self._carry(request, connected, seat), name=f"stream {id}")
        return connected.stream

    def _check_open(self) -> None:
        if self._closing:
            raise CapacityError("the runner shuts down")

    @contextlib.contextmanager
    def _admission(self, id: str) -> Iterator[None]:
        """Reserve an id until its stream is there, and let `aclose` know."""
        self._admitting.add(id)
        self._none_admitted.clear()
        try:
            yield
        finally:
            self._admitting.discard(id)
            if not self._admitting:
                self._none_admitted.set()

    def _new_id(self, request: StreamRequest) -> str:
        wanted = request.stream_id or request.gateway_request_id
        taken = wanted in self.streams or wanted in self._admitting
        return wanted if wanted and not taken else uuid.uuid4().hex[:12]

    async def _carry(self, request: StreamRequest, connected: Connected, seat: Seat) -> None:
        stream = connected.stream
        set_stream_ids(
            gateway_request_id=request.gateway_request_id,
            manifest_id=request.manifest_id,
            stream_id=request.stream_id or stream.id,
        )
        log.info(
            "stream starts: %s from %s to %s",
            stream.pipeline,
            short_url(request.subscribe_url),
            short_url(request.publish_url),
        )
        stream.on_worker_free = lambda: self._free(seat, stream)
        try:
            await connected.run()
        except Exception:
            log.exception("stream failed")
        finally:
            self._free(seat, stream)
            self.streams.pop(stream.id, None)
            self.totals.end(stream)
            self.ended.append(_ended(stream))
            self._tasks.pop(stream.id, None)

    @staticmethod
    def _free(seat: Seat, stream: Stream) -> None:
        """Let others have the worker; a peer that is slow to take the last words must not keep it."""
        if seat.taken_by == stream.id:
            seat.taken_by = None

    async def stop_stream(self, id: str, reason: str) -> None:
        """End one stream and wait until it is closed."""
        task = self._tasks.get(id)
        if task is not None:
            self.streams[id].stop(reason)
            await asyncio.wait([task], timeout=CLOSE_LIMIT_S)

    # --- the whole ----------------------------------------------------------------------------------------------------

    def health(self) -> str:
        """Return the network's word for the runner: the worst of its streams, or of its workers without one."""
        states = [stream.state for stream in self.streams.values()] or [self._idle_state()]
        for state in (StreamState.ERROR, StreamState.LOADING):
            if all(s is state for s in states):
                return HEALTH[state]
        return HEALTH[StreamState.ONLINE] if self.streams else HEALTH[states[0]]

    def _idle_state(self) -> StreamState:
        workers = [seat.supervisor.state for seat in self.pool]
        return evaluate(
            Snapshot(
                streaming=False,
                worker_failed=all(w is WorkerState.FAILED for w in workers),
                worker_ready=any(w is WorkerState.READY for w in workers),
                since_load_s=0.0,
                since_input_s=0.0,
                since_output_s=None,
            )
        ).then

    def describe_pipelines(self) -> list[dict[str, Any]]:
        """Return what the workers run, one entry per pipeline."""
        known = [self._describe(name, [s for s in self.pool if s.name == name]) for name in self.pool.names]
        others = [name for name in self.pool.offered if name not in self.pool.names]
        return known + [_on_demand(name) for name in others]

    def _describe(self, name: str, seats: Sequence[Seat]) -> dict[str, Any]:
        first = seats[0].supervisor
        info, checked = first.info, shipped_check(first.spec)
        return {
            "name": name,
            "package": first.spec.package,
            "version": first.spec.version,
            "environment": str(first.spec.prefix),
            "state": first.state.name if self.pool.settled else "MEASURING",
            "workers": len(seats),
            "busy": sum(seat.taken_by is not None for seat in seats),
            "restarts": sum(seat.supervisor.restart_count for seat in seats),
            "params_schema": info.params_schema if info else None,
            "default_params": info.default_params if info else None,
            "log_tail": list(first.log_tail),
            "check": checked.to_json() if checked else None,
        }


def _ended(stream: Stream) -> dict[str, Any]:
    """Describe a stream that is over, for ``GET /streams``."""
    return {
        "id": stream.id,
        "model_id": stream.pipeline,
        "state": str(stream.state),
        "end_reason": stream.end_reason or "failed; the runner's log has the traceback",
        "ended_ms": now_ms(),
        "frames": stream.frame_counts(),
        "faults": stream.fault_counts(),
    }


def _on_demand(name: str) -> dict[str, Any]:
    """Describe a pipeline that has no worker before somebody asks for it."""
    empty = {"package": "", "version": "", "environment": "", "params_schema": None}
    return {"name": name, "state": "ON_DEMAND", "workers": 0, "busy": 0, **empty}
