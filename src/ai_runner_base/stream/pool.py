"""The workers that a runner keeps, by pipeline, and who may use them: admission is decided before the answer."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import CallerError, CapacityError
from ..supervisor import Supervisor, WorkerState


@dataclass
class Seat:
    """One worker and the stream that has it, if any."""

    name: str
    supervisor: Supervisor
    taken_by: str | None = None


class Pool:
    """A fixed set of supervised workers. One stream per worker.

    :param seats: the first one's pipeline is served when a request names none
    """

    def __init__(self, seats: Sequence[Seat]) -> None:
        if not seats:
            raise CallerError("a runner needs at least one pipeline", hint="name one with --pipeline")
        self._seats = tuple(seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats)

    @property
    def names(self) -> list[str]:
        """Pipelines in the order given, each once."""
        return list(dict.fromkeys(seat.name for seat in self._seats))

    async def start(self) -> None:
        """Start all workers; loading goes on in the background."""
        async with asyncio.TaskGroup() as group:
            for seat in self._seats:
                group.create_task(seat.supervisor.start())

    async def aclose(self) -> None:
        """Close all workers side by side; nothing is left behind."""
        await asyncio.gather(*(seat.supervisor.aclose() for seat in self._seats))

    def take(self, name: str, stream_id: str) -> Seat:
        """Reserve a worker of pipeline `name` ("" means the first pipeline) for a stream.

        :raises CallerError: no such pipeline here
        :raises CapacityError: all of its workers are taken, or have failed for good
        """
        wanted = name or self.names[0]
        candidates = [seat for seat in self._seats if seat.name == wanted]
        if not candidates:
            raise self._unknown(wanted)
        free = [seat for seat in candidates if seat.taken_by is None]
        usable = sorted((s for s in free if s.supervisor.state is not WorkerState.FAILED), key=_readiness)
        if not usable:
            raise CapacityError(self._why_full(wanted, candidates))
        usable[0].taken_by = stream_id
        return usable[0]

    def _unknown(self, wanted: str) -> CallerError:
        near = difflib.get_close_matches(wanted, self.names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        return CallerError(
            f"model_id {wanted!r} is not served here; served: {', '.join(self.names)}", hint=hint
        )

    def _why_full(self, name: str, candidates: Sequence[Seat]) -> str:
        failed = sum(seat.supervisor.state is WorkerState.FAILED for seat in candidates)
        return f"{len(candidates) - failed} worker(s) of {name!r} busy, {failed} failed"


def _readiness(seat: Seat) -> int:
    return 0 if seat.supervisor.state is WorkerState.READY else 1
