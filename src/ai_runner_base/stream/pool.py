"""The workers that a runner keeps, by pipeline, and who may use them: admission is decided before the answer."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import CallerError, CapacityError, RunnerError
from ..supervisor import Supervisor, WorkerState

log = logging.getLogger(__name__)

_SETTLE_LIMIT_S = 120.0


@dataclass
class Seat:
    """One worker and the stream that has it, if any.

    :param on_demand: made for a request; given up when its place is needed for another pipeline
    :param renew: a supervisor for what is installed now, not started; None while that is what the worker runs.
        Raises `RunnerError` when what is installed now cannot be used
    """

    name: str
    supervisor: Supervisor
    taken_by: str | None = None
    on_demand: bool = False
    renew: Callable[[], Supervisor | None] | None = None


@dataclass(frozen=True)
class OnDemand:
    """Workers beyond the fixed ones, for whatever pipeline a request names.

    :param limit: how many there may be at once; idle ones stay warm until their place is needed
    :param names: pipelines that may be asked for
    :param make: makes a seat for one of them, not started
    """

    limit: int = 0
    names: Sequence[str] = ()
    make: Callable[[str], Seat] | None = None


class Pool:
    """Supervised workers, one stream each.

    :param seats: the fixed ones; the first one's pipeline is served when a request names none
    :param settled: False: which pipelines are served is not decided; streams wait for `settle`
    """

    def __init__(
        self, seats: Sequence[Seat], on_demand: OnDemand | None = None, *, settled: bool = True
    ) -> None:
        if not seats:
            raise CallerError("a runner needs at least one pipeline", hint="name one with --pipeline")
        self._seats = list(seats)
        self._on_demand = on_demand or OnDemand()
        self._settled = asyncio.Event()
        if settled:
            self._settled.set()

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats)

    @property
    def names(self) -> list[str]:
        """Pipelines that have workers, each once, the fixed ones first."""
        return list(dict.fromkeys(seat.name for seat in self._seats))

    @property
    def offered(self) -> list[str]:
        """Pipelines that a request may name."""
        return list(dict.fromkeys([*self.names, *(self._on_demand.names if self._on_demand.limit else ())]))

    @property
    def settled(self) -> bool:
        """Whether it is decided which pipelines are served."""
        return self._settled.is_set()

    def settle(self, seats: Sequence[Seat]) -> None:
        """Say which seats there are after all. Those of before were never started, since nobody could take one."""
        self._seats = list(seats)
        self._settled.set()

    async def start(self) -> None:
        """Start all workers; loading goes on in the background."""
        async with asyncio.TaskGroup() as group:
            for seat in self._seats:
                group.create_task(seat.supervisor.start())

    async def aclose(self) -> None:
        """Close all workers side by side; nothing is left behind."""
        await asyncio.gather(*(seat.supervisor.aclose() for seat in self._seats))

    async def take(self, name: str, stream_id: str) -> Seat:
        """Reserve a worker of pipeline `name` ("" means the first pipeline) for a stream.

        :raises CallerError: no such pipeline here
        :raises CapacityError: all of its workers are taken
        """
        await self._until_settled()
        wanted = name or self.names[0]
        if wanted not in self.offered:
            raise self._unknown(wanted)
        free = [seat for seat in self._seats if seat.name == wanted and seat.taken_by is None]
        seat = min(free, key=_readiness) if free else self._make(wanted)
        seat.taken_by = stream_id
        try:
            await self._make_room(keep=seat)
            await _renew(seat)
            if seat.supervisor.state in (WorkerState.STOPPED, WorkerState.FAILED):
                await seat.supervisor.start()
        except BaseException:
            seat.taken_by = None
            raise
        return seat

    async def _until_settled(self) -> None:
        try:
            async with asyncio.timeout(_SETTLE_LIMIT_S):
                await self._settled.wait()
        except TimeoutError:
            raise CapacityError("what is served here is not decided yet") from None

    def _make(self, name: str) -> Seat:
        """Add a worker on demand; the place of an idle one may be taken, which `_make_room` then closes."""
        extra = [seat for seat in self._seats if seat.on_demand]
        busy = [seat for seat in extra if seat.taken_by is not None]
        make = self._on_demand.make if name in self._on_demand.names else None
        if make is None or len(busy) >= self._on_demand.limit:
            raise CapacityError(self._why_full(name))
        seat = make(name)
        seat.on_demand = True
        self._seats.append(seat)
        return seat

    async def _make_room(self, keep: Seat) -> None:
        extra = [seat for seat in self._seats if seat.on_demand]
        idle = [seat for seat in extra if seat.taken_by is None and seat is not keep]
        for seat in idle[: max(0, len(extra) - self._on_demand.limit)]:
            self._seats.remove(seat)
            await seat.supervisor.aclose()

    def _unknown(self, wanted: str) -> CallerError:
        near = difflib.get_close_matches(wanted, self.offered, n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        return CallerError(
            f"model_id {wanted!r} is not served here; served: {', '.join(self.offered)}", hint=hint
        )

    def _why_full(self, name: str) -> str:
        mine = sum(seat.name == name for seat in self._seats)
        return f"{mine} worker(s) of {name!r}, all busy" if mine else f"no worker is free for {name!r}"


async def _renew(seat: Seat) -> None:
    """Replace a worker of what was installed when it started; one that works is better than none."""
    if seat.renew is None:
        return
    try:
        newer = await asyncio.to_thread(seat.renew)
    except RunnerError as error:
        log.error("pipeline %s stays as it is, what is installed now cannot be used: %s", seat.name, error)
        return
    if newer is not None:
        log.info("pipeline %s is installed anew: its worker is replaced", seat.name)
        await seat.supervisor.aclose()
        seat.supervisor = newer


def _readiness(seat: Seat) -> int:
    order = (WorkerState.READY, WorkerState.LOADING, WorkerState.STARTING)
    return order.index(seat.supervisor.state) if seat.supervisor.state in order else len(order)
