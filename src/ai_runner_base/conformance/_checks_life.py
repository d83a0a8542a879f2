"""What is checked by starting and ending workers: two at once, a sudden end, an orderly one, one while loading."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import psutil

from ..errors import RunnerError
from ..supervisor import Ready, WorkerState
from ._bench import Bench
from ._outcomes import Broken
from ._pictures import moving
from ._rules import rule

_FRAMES = 10
_POLL_S = 0.02
_UNDER_WAY_S = 0.1


@rule(
    "two-instances",
    "Two of it work side by side.",
    "Hosts run one worker for each stream. Ports, lock files and temporary names must be each one's own.",
    needs="frames",
)
async def check_two_instances(bench: Bench) -> str:
    """Start a second worker and push frames through both at once."""
    first, second = await bench.main(), await bench.second()
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(rig.push(moving(*rig.size, _FRAMES))) for rig in (first, second)]
    counts = [len(run.result()) for run in runs]
    if not all(counts) or (bench.is_frame_pipeline and min(counts) < _FRAMES):
        raise Broken(f"{counts[0]} and {counts[1]} of {_FRAMES} frames were answered")
    return f"loaded in {second.info.load_s:.1f} s beside the first"


@rule(
    "restart",
    "After a sudden end (kill -9) the next worker loads and works.",
    "That is how a crash or an out-of-memory kill ends. What it left behind must not be in the way.",
    needs="two-instances",
)
async def check_restart(bench: Bench) -> str:
    """Kill a worker and push frames through its successor."""
    rig = await bench.second()
    rig.events.clear()
    started_s = time.monotonic()
    os.kill(rig.info.pid, signal.SIGKILL)
    while not any(isinstance(event, Ready) for event in rig.events):
        if rig.supervisor.state is WorkerState.FAILED:
            raise Broken(str(rig.supervisor.last_error))
        await asyncio.sleep(_POLL_S)
    seconds = time.monotonic() - started_s
    if not await rig.push(moving(*rig.size, _FRAMES)):
        raise Broken("the next worker answers no frames")
    return f"ready again after {seconds:.1f} s"


@rule(
    "stop",
    "Told to stop while frames are under way, it ends by itself within 2 s and leaves no process behind.",
    "After that it is killed; whatever stop() or teardown() was to save or release is lost.",
    needs="load",
)
async def check_stop(bench: Bench) -> str:
    """Stop the main worker under load."""
    rig = await bench.main()
    known = set(bench.survivors()) - _tree(rig.info.pid)
    rig.open(lossless=False)
    pictures = list(moving(*rig.size, _FRAMES))
    for picture in pictures:
        rig.offer(picture)
        await asyncio.sleep(_UNDER_WAY_S / len(pictures))
    bench.take_main()
    started_s = time.monotonic()
    await rig.aclose()
    seconds = time.monotonic() - started_s
    await bench.require_none_left(known)
    limit_s = bench.options.stop_limit_s
    if seconds >= limit_s:
        tail = "\n".join(rig.supervisor.log_tail[-5:])
        raise Broken(f"it did not end within {limit_s:g} s and was killed after {seconds:.1f} s", tail)
    return f"{seconds:.2f} s"


@rule(
    "cancel",
    "Told to stop while it loads, it ends at once (SIGTERM) and leaves no process behind.",
    "Operators change their minds, and loading may take minutes.",
    needs="load",
)
async def check_cancel(bench: Bench) -> str:
    """Begin to load, and end it half-way."""
    known = set(bench.survivors())
    rig = bench.rig()
    await rig.supervisor.start()
    with contextlib.suppress(RunnerError):  # not ready yet, as intended
        await rig.supervisor.wait_ready(max(0.05, bench.load_s / 2))
    started_s = time.monotonic()
    await rig.aclose()
    seconds = time.monotonic() - started_s
    await bench.require_none_left(known)
    if seconds >= rig.options.terminate_timeout_s:
        raise Broken(f"SIGTERM did not end it, it was killed after {seconds:.1f} s")
    return f"{seconds:.2f} s"


def _tree(pid: int) -> set[int]:
    """A process and its children, without those that changed their parent."""
    process = psutil.Process(pid)
    return {pid, *(child.pid for child in process.children(recursive=True))}
