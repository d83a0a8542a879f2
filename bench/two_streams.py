"""Two streams at once, 512x512 at 24 fps with sound, each on a worker of its own; a third one is refused.

Prints for each stream how many frames came back, how many of them were wrong (another number than the one sent with
that PTS, or a PTS of the other stream), the delivered rate, and latency from the last byte of a frame sent to the
decoded picture at its viewer. Senders, viewers and decoders have the same processors as the runner. The exit code is 1
when a picture was wrong, more than one in a hundred was missing, or the third stream was not refused in the words that
orchestrators know.

    python bench/two_streams.py [--seconds 20] [--pipeline effects]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import psutil

from ai_runner_base.media import ClipOptions, encode_ts_clip, read_counter
from ai_runner_base.testing.live import FrameBytes, RunnerProcess, Viewer, rgb, runner, send, split_frames
from ai_runner_base.trickle import client_session

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests._support.live import SIZE, wait_workers

FPS = 24
WARM_UP_S = 2.0
MAY_MISS = 0.01
TICKS = 90_000


@dataclass
class Figures:
    """One stream; latencies in ms."""

    name: str
    sent: int
    delivered: int
    wrong: int
    fps: float
    latency_ms: tuple[float, float, float]


async def start(http: aiohttp.ClientSession, run: RunnerProcess, name: str) -> tuple[int, dict]:
    body = {
        "subscribe_url": f"{run.url}/ai/trickle/{name}",
        "publish_url": f"{run.url}/ai/trickle/{name}-out",
        "params": SIZE,
    }
    return await run.call(http, "POST", "/live-video-to-video", body)


async def carry(
    http: aiohttp.ClientSession, run: RunnerProcess, name: str, clip: list[FrameBytes], first_number: int
) -> Figures:
    viewer, sent_ns = Viewer(), dict[int, int]()
    watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/{name}-out"))
    await send(http, f"{run.url}/ai/trickle/{name}", clip, sent_ns=sent_ns)
    await watching
    numbers = {frame.pts: first_number + n for n, frame in enumerate(clip)}
    wrong, latencies = 0, []
    for picture in viewer.pictures:
        pts = round(picture.pts * picture.time_base * TICKS)
        wrong += read_counter(rgb(picture)) != numbers.get(pts)
        if pts in sent_ns and pts - clip[0].pts > WARM_UP_S * TICKS:
            latencies.append((picture.decoded_ns - sent_ns[pts]) / 1e6)
    span_s = (viewer.pictures[-1].decoded_ns - viewer.pictures[0].decoded_ns) / 1e9
    fps, (p50, p95, p99) = (len(viewer.pictures) - 1) / span_s, np.percentile(latencies, [50, 95, 99])
    return Figures(name, len(clip), len(viewer.pictures), wrong, fps, (p50, p95, p99))


async def measure(pipeline: str, seconds: int) -> tuple[list[Figures], str, float]:
    """:returns: both streams, what the third was answered, and processors in use by runner and workers."""
    frames = split_frames(encode_ts_clip(2 * seconds, ClipOptions(width=512, height=512, fps=FPS)))
    half = next(n for n, frame in enumerate(frames) if n >= len(frames) // 2 and frame.starts_segment)
    async with (
        client_session() as http,
        runner("--pipeline", pipeline, "--workers", f"{pipeline}=2") as run,
    ):
        await wait_workers(run, http, 2)
        for name in ("one", "two"):
            status, answer = await start(http, run, name)
            if status != 200:
                raise SystemExit(f"the runner refused stream {name}: {answer}")
        status, answer = await start(http, run, "three")
        family = [psutil.Process(run.pid), *psutil.Process(run.pid).children()]
        before = _cpu_s(family)
        figures = await asyncio.gather(
            carry(http, run, "one", frames[:half], 0), carry(http, run, "two", frames[half:], half)
        )
        return list(figures), f"HTTP {status}: {answer['detail']['msg']}", (_cpu_s(family) - before) / seconds


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def problems_of(figures: list[Figures], refusal: str) -> list[str]:
    found = [f"stream {one.name}: {one.wrong} wrong pictures" for one in figures if one.wrong]
    found += [
        f"stream {f.name}: frames are missing" for f in figures if f.delivered < (1 - MAY_MISS) * f.sent
    ]
    if not refusal.startswith("HTTP 500: insufficient capacity"):
        found.append(f"the third stream was not refused as it should be: {refusal}")
    return found


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--pipeline", default="effects")
    given = options.parse_args()
    figures, refusal, processors = asyncio.run(measure(given.pipeline, given.seconds))
    for one in figures:
        latency = " / ".join(f"{ms:.0f}" for ms in one.latency_ms)
        print(
            f"stream {one.name}: {one.delivered}/{one.sent} frames, {one.wrong} wrong, {one.fps:.1f} fps (of {FPS}),"
            f" bytes→picture p50 / 95 / 99: {latency} ms"
        )
    print(f"a third one: {refusal}")
    load = os.getloadavg()[0]
    print(f"runner and workers use {processors:.2f} of {os.cpu_count()} processors; load {load:.1f}")
    problems = problems_of(figures, refusal)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
