"""What is told to orchestrators in each heartbeat: how many sessions fit, whether they are welcome, what a frame costs.

All of it is read from the workers at that moment. A worker that a local user, another orchestrator or a plain
``POST /live-video-to-video`` has taken is not offered a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..orchestrator import Gpu, pack_metadata
from ..stream import Runner, Seat
from ..supervisor import WorkerState
from .schemas import GpuInfo

READY: Final = "ready"
FRAMES_NEEDED: Final = 30
"""Frames of a stream before its cost per frame is worth telling."""


@dataclass(frozen=True)
class Slots:
    """Capacity and status as an orchestrator wants them.

    :param capacity: sessions in all, those that it holds included
    :param status: ``ready`` or why no new session is welcome
    """

    capacity: int
    status: str


def count_slots(seats: Sequence[Seat], *, held: int, promised: int, closing: bool) -> Slots:
    """Work out what one orchestrator may be offered of one pipeline's workers.

    Two traps of go-livepeer are minded: a capacity of 0 is read as 1, and a runner whose status is not ``ready`` has
    the requests and callbacks of its running sessions refused, while nobody ends them. So a registration with a
    session stays ready, and says "full" by a capacity that equals its sessions.

    :param held: sessions that this orchestrator holds
    :param promised: sessions that any orchestrator holds and that have no worker yet
    """
    usable = [seat for seat in seats if seat.supervisor.state is not WorkerState.FAILED]
    free = [seat for seat in usable if seat.taken_by is None]
    spare = 0 if closing else max(0, len(free) - promised)
    if held:
        return Slots(held + spare, READY)
    if closing:
        return Slots(1, "draining")
    if not usable:
        return Slots(1, "failed")
    if free and not any(seat.supervisor.state is WorkerState.READY for seat in free):
        return Slots(max(1, spare), "loading")
    return Slots(spare, READY) if spare else Slots(1, "busy")


class Costs:
    """The last measured cost per frame of each pipeline; it outlives the stream that it was measured on.

    :param known: by pipeline, what was measured before there was a stream; in the form of `of`
    """

    def __init__(self, runner: Runner, known: Mapping[str, Mapping[str, Any]]) -> None:
        self._runner = runner
        self._known = {name: dict(cost) for name, cost in known.items()}

    def of(self, pipeline: str) -> dict[str, Any] | None:
        """Return milliseconds per frame inside the pipeline and the size they were measured at, or None."""
        for stream in self._runner.streams.values():
            infer = stream.frames.stages.summary().get("infer")
            if stream.pipeline == pipeline and infer and (infer["count"] or 0) >= FRAMES_NEEDED:
                size = f"{stream.frames.width}x{stream.frames.height}"
                self._known[pipeline] = {"p50": infer["p50_ms"], "p95": infer["p95_ms"], "size": size}
        return self._known.get(pipeline)


def describe(fixed: Mapping[str, Any], workers: int, frame_ms: Mapping[str, Any] | None) -> str:
    """Return the public metadata of one pipeline; what matters least is last, and goes first when it is too long.

    :param fixed: package, version, build and environment, as installed
    """
    return pack_metadata({**fixed, "frame_ms": frame_ms, "workers": workers})


def gpu_of(seats: Sequence[Seat], gpus: Mapping[str, GpuInfo]) -> Gpu | None:
    """Return the GPU of a pipeline's first worker, which stands for all: a registration has room for one.

    :param gpus: the host's, by index
    """
    wanted = seats[0].supervisor.spec.env.get("CUDA_VISIBLE_DEVICES", "") if seats else ""
    first = wanted.split(",")[0].strip()
    for index, gpu in gpus.items():
        if not first or first == index or gpu.id.startswith(first):
            return Gpu(gpu.id, gpu.name, gpu.memory_total // 2**20)
    return None
