"""How fast a pipeline is on this host: a short run in its own worker, as fast as it goes."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from ..errors import PipelineError
from ..supervisor import ParamsRejected, WorkerSpec
from ._outcomes import Broken
from ._pictures import moving
from ._rig import Answer, Rig

_SCENE_FRAMES = 24
_WARM_UP_S = 0.5
_RUN_S = 3.0
_LOAD_LIMIT_S = 60.0
_FRAME_LIMIT_S = 10.0
_FEWEST_ANSWERS = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """What a pipeline does alone in its worker, with its default parameters.

    :param fps: frames per second, of the better half of the run: a moment in which the host was busy is no verdict
    :param width: of the pictures, px
    :param height: of the pictures, px
    :param p50_ms: median time of a frame inside the pipeline
    :param p95_ms: 95 of 100 take no longer
    :param others: share of all processors that the rest of the host used meanwhile, 0 to 1
    """

    fps: float
    width: int
    height: int
    p50_ms: float
    p95_ms: float
    others: float = 0.0


async def measure_speed(spec: WorkerSpec, width: int = 640, height: int = 480) -> Speed:
    """Start a worker, push frames through it for three seconds, end it.

    :param width: of the pictures, px; a pipeline that refuses this size is measured at its own
    :raises PipelineError: it does not load, complains, or gives nothing back
    :raises HostError: its environment cannot be used
    """
    rig = Rig(spec, load_limit_s=_LOAD_LIMIT_S, frame_limit_s=_FRAME_LIMIT_S, answers_each=False)
    try:
        await rig.start()
        await _ask_for_size(rig, width, height)
        scene = list(moving(*rig.size, _SCENE_FRAMES))
        await rig.push(itertools.cycle(scene), limit_s=_WARM_UP_S)
        meter = _OthersMeter(rig.process)
        answers = await rig.push(itertools.cycle(scene), limit_s=_RUN_S)
        return _speed(answers, rig.size, meter.share())
    except Broken as broken:
        raise PipelineError(
            f"the speed of {spec.name!r} cannot be measured: {broken.measured}",
            hint=f"see what `ai-runner check {spec.name}` says",
            remote_traceback=broken.detail,
        ) from broken
    finally:
        await rig.aclose()


async def _ask_for_size(rig: Rig, width: int, height: int) -> None:
    with contextlib.suppress(ParamsRejected):  # then it is measured as it is
        await rig.update({**rig.info.default_params, "width": width, "height": height})
    rig.open()


class _OthersMeter:
    """What processes other than this one and a worker take of the processors, from its making on."""

    def __init__(self, worker: psutil.Process) -> None:
        self._ours = (worker, psutil.Process())
        self._start = self._read()

    def share(self) -> float:
        """Return the part of all processors, 0 to 1."""
        busy, ours, at_s = (now - then for now, then in zip(self._read(), self._start, strict=True))
        return round(min(1.0, max(0.0, busy - ours) / ((psutil.cpu_count() or 1) * max(at_s, 1e-6))), 2)

    def _read(self) -> tuple[float, float, float]:
        host = psutil.cpu_times()
        ours = [process.cpu_times() for process in self._ours]
        idle = host.idle + getattr(host, "iowait", 0.0) + getattr(host, "guest", 0.0)
        return sum(host) - idle, sum(times.user + times.system for times in ours), time.monotonic()


def _speed(answers: Sequence[Answer], size: tuple[int, int], others: float) -> Speed:
    if len(answers) < _FEWEST_ANSWERS:
        raise Broken(f"only {len(answers)} frames came back in {_WARM_UP_S + _RUN_S:g} s")
    middle = len(answers) // 2
    work_ms = sorted(answer.work_s * 1000 for answer in answers)
    return Speed(
        round(max(_rate(answers[: middle + 1]), _rate(answers[middle:])), 1),
        *size,
        round(statistics.median(work_ms), 1),
        round(work_ms[int(0.95 * (len(work_ms) - 1))], 1),
        others,
    )


def _rate(answers: Sequence[Answer]) -> float:
    span_s = answers[-1].returned_s - answers[0].returned_s
    return (len(answers) - 1) / max(span_s, 1e-6)
