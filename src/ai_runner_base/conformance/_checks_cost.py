"""What is checked over time: a live stream, memory, open files, output."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ._bench import Bench
from ._outcomes import Broken, Skipped
from ._pictures import Picture, moving
from ._rig import Answer, Rig, private_bytes
from ._rules import rule

_FRAMES_PER_S = 30
_SCENE_FRAMES = 30
_SAMPLE_FRAMES = 20
_WARM_UP = 0.25
"""Share of the samples that are left out: caches fill up at first."""
_FEWEST_SAMPLES = 6
_SPARE_HANDLES = 8
_FEWEST_FRAMES_FOR_LINES = 20


@rule(
    "live",
    "At 30 fps frames come back within a second; a slow pipeline makes the runner drop, and never queues.",
    "A queue inside makes the picture ever later, and nobody can see why.",
    needs="frames",
)
async def check_live(bench: Bench) -> str:
    """Play a live stream."""
    rig = await bench.main()
    rig.open(lossless=False)
    first, pictures = len(rig.answers), list(moving(*rig.size, _SCENE_FRAMES))
    started_s = time.monotonic()
    count = int(bench.options.live_s * _FRAMES_PER_S)
    for index in range(count):
        await asyncio.sleep(max(0.0, started_s + index / _FRAMES_PER_S - time.monotonic()))
        rig.offer(pictures[index % len(pictures)])
    seconds = max(count / _FRAMES_PER_S, time.monotonic() - started_s)
    await rig.drain()
    known = [answer for answer in rig.answers[first:] if answer.seq]
    if not known:
        raise Broken("no frame came back")
    latencies_s = sorted(answer.latency_s for answer in known)
    p95_s = latencies_s[int(0.95 * (len(latencies_s) - 1))]
    told = f"{len(known) / seconds:.0f} fps, back after {p95_s * 1000:.0f} ms (p95)"
    if p95_s > bench.options.live_latency_s + 3 * _pace_s(known):
        raise Broken(told)
    return told


def _pace_s(answers: list[Answer]) -> float:
    """Seconds from one answer to the next: what a frame takes, for a pipeline that is too slow."""
    if len(answers) == 1:
        return answers[0].work_s
    return (answers[-1].returned_s - answers[0].returned_s) / (len(answers) - 1)


@dataclass(frozen=True, slots=True)
class _Sample:
    frames: int
    memory_bytes: int
    handles: int


@rule(
    "memory",
    "Over 1,000 frames its memory grows by less than 8 MB.",
    "A host runs for months: at 30 fps one lost picture of 512x512 px in each frame fills 64 GB in 45 minutes.",
    needs="frames",
)
async def check_memory(bench: Bench) -> str:
    """Push frames and watch the worker's own memory, the shared rings left out; also open files and threads."""
    rig = await bench.main()
    samples = await _long_run(bench, rig)
    if len(samples) < _FEWEST_SAMPLES:
        raise Skipped(f"only {_frames_in(samples)} frames in {bench.options.long_run_s:g} s")
    slope = statistics.linear_regression(
        [sample.frames for sample in samples], [sample.memory_bytes for sample in samples]
    ).slope
    grown = samples[-1].handles - samples[0].handles
    if grown > _SPARE_HANDLES:
        raise Broken(f"{grown} more open files and threads after {_frames_in(samples)} frames")
    told = f"{max(0.0, slope) * 1000 / 1e6:.1f} MB in 1,000 frames (over {_frames_in(samples)})"
    if slope * 1000 > bench.options.growth_limit_bytes:
        raise Broken(told)
    return told


async def _long_run(bench: Bench, rig: Rig) -> list[_Sample]:
    pictures = _endless(list(moving(*rig.size, _SCENE_FRAMES)))
    samples: list[_Sample] = []
    deadline_s = time.monotonic() + bench.options.long_run_s
    for frames in range(0, bench.options.long_run_frames, _SAMPLE_FRAMES):
        await rig.push(next(pictures) for _ in range(_SAMPLE_FRAMES))
        samples.append(_Sample(frames + _SAMPLE_FRAMES, private_bytes(rig.process), _handles(rig.process)))
        if time.monotonic() > deadline_s:
            break
    return samples[int(len(samples) * _WARM_UP) :]


def _frames_in(samples: list[_Sample]) -> int:
    """How many frames samples were taken over."""
    return samples[-1].frames - samples[0].frames if samples else 0


def _endless(pictures: list[Picture]) -> Iterator[Picture]:
    while True:
        yield from pictures


def _handles(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.AccessDenied):
        return int(process.num_fds() + process.num_threads())
    return 0


@rule(
    "output",
    "While it runs it prints and logs less than one line in ten frames; what it prints harms nothing.",
    "At 30 fps a line for each frame is 2.6 million lines a day in somebody's log.",
    needs="frames",
)
async def check_output(bench: Bench) -> str:
    """Count the lines of a steady run."""
    rig = await bench.main()
    before, count = rig.lines, max(bench.options.frames, _FEWEST_FRAMES_FOR_LINES)
    await rig.push(moving(*rig.size, count))
    lines = rig.lines - before
    told = f"{lines} lines in {count} frames"
    if lines > bench.options.lines_per_frame * count:
        raise Broken(told, "\n".join(rig.supervisor.log_tail[-5:]))
    return told
