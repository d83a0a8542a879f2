"""A long live run of `background` (painting by `style`): frame rate, latency and memory, over time.

    scripts/pixiw run -e studio python bench/background_live.py [--minutes 10] [--clip film.mp4]
        [--where room|person|both] [--pipeline background]

A clip of a person (a portrait that drifts, or ten seconds of a film of yours, over and over) goes as MPEG-TS into a
trickle channel in real time, 30 frames a second at 640x480, through decoder, worker and encoder, and out to a viewer
that decodes it. Every ten seconds a line says what arrived since the last one: frames per second, latency from the last
byte of a frame sent to its picture at the viewer, memory of runner and worker that they share with nobody. At the end:
how memory grew after the first minute.

In the same run, before it: 20 s of the no-op pipeline over the same way, as the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import aiohttp
import av
import numpy as np
import psutil

from ai_runner_base.media import LiveEncoder, Picture
from ai_runner_base.testing.live import FrameBytes, RunnerProcess, Viewer, runner, send, split_frames
from ai_runner_base.trickle import client_session

SIZE = (640, 480)
FPS = 30
TICKS = 90_000 // FPS
TIME_BASE = Fraction(1, 90_000)
LOOP_S = 10
LIMIT_S = 20
LINE_S = 10
AIM_FPS = 15
AIM_MIB_PER_HOUR = 60.0
SETTLED_S = 60
"""Caches, pools of memory and the encoder's look-ahead are full by then."""
PORTRAIT = Path(__file__).parents[1] / "recipes/ai-runner-background/tests/data/person.jpg"


class Arrivals(list):
    """Stands where a viewer keeps its pictures, and keeps (PTS, when decoded) instead."""

    def append(self, picture: Picture) -> None:
        super().append((round(picture.pts * picture.time_base * 90_000), picture.decoded_ns))


@dataclass
class Line:
    """Ten seconds."""

    at_s: float
    fps: float
    p50_ms: float
    p95_ms: float
    runner_mib: float
    worker_mib: float


@dataclass
class Run:
    """One stream through one pipeline."""

    name: str
    lines: list[Line] = field(default_factory=list)
    delivered: int = 0
    sent: int = 0


def source(clip: Path | None) -> list[np.ndarray]:
    """Ten seconds of pictures, (480, 640, 3) uint8."""
    width, height = SIZE
    with av.open(str(clip or PORTRAIT)) as container:
        frames = islice(container.decode(video=0), FPS * LOOP_S if clip else 1)
        pictures = [frame.reformat(width, height, "rgb24").to_ndarray() for frame in frames]
    if clip:
        return pictures
    drift_px = (40 * np.sin(2 * np.pi * np.arange(FPS * LOOP_S) / (FPS * LOOP_S))).astype(int)
    return [np.roll(pictures[0], shift, axis=1) for shift in drift_px]


def encoded(pictures: list[np.ndarray], seconds: float) -> list[FrameBytes]:
    """The pictures over and over, as a live sender would give them."""
    data: list[bytes] = []
    encoder = LiveEncoder(*SIZE, on_bytes=lambda chunk, cut, stamps: data.append(bytes(chunk)))
    encoder.start()
    for number, picture in enumerate(islice(cycle(pictures), int(seconds * FPS))):
        done = threading.Event()
        encoder.submit(np.ascontiguousarray(picture), number * TICKS, TIME_BASE, on_done=done.set)
        done.wait(10)
    encoder.close(10)
    return split_frames(b"".join(data))


async def carry(pipeline: str, params: dict[str, object], frames: list[FrameBytes], *, tell: bool) -> Run:
    """Run once, in real time."""
    run, viewer, sent_ns = Run(pipeline, sent=len(frames)), Viewer(pictures=Arrivals()), {}
    async with client_session() as http, runner("--pipeline", pipeline) as process:
        await process.wait_health(http, "IDLE", 60)
        await start(process, http, params)
        watching = asyncio.create_task(viewer.watch(http, f"{process.url}/ai/trickle/out"))
        sending = asyncio.create_task(send(http, f"{process.url}/ai/trickle/in", frames, sent_ns=sent_ns))
        main = psutil.Process(process.pid)
        begin_s, seen = time.monotonic(), 0
        while not sending.done():
            await asyncio.wait([sending], timeout=LINE_S)
            fresh, seen = viewer.pictures[seen:], len(viewer.pictures)
            line = summed_up(time.monotonic() - begin_s, fresh, sent_ns, main)
            if line is not None and not sending.done():
                run.lines.append(line)
                if tell:
                    show(line)
        await sending
        await watching
    run.delivered = len(viewer.pictures)
    return run


async def start(process: RunnerProcess, http: aiohttp.ClientSession, params: dict[str, object]) -> None:
    """Ask for the stream."""
    channels = {"subscribe_url": "in", "publish_url": "out"}
    body = {key: f"{process.url}/ai/trickle/{name}" for key, name in channels.items()}
    status, answer = await process.call(http, "POST", "/live-video-to-video", body | {"params": params})
    if status != 200:
        raise SystemExit(f"the runner refused: {answer}")


def summed_up(
    at_s: float, fresh: list[tuple[int, int]], sent_ns: dict[int, int], main: psutil.Process
) -> Line | None:
    """What has arrived since the last line."""
    if len(fresh) < 2:
        return None
    latency_ms = [(decoded_ns - sent_ns[pts]) / 1e6 for pts, decoded_ns in fresh if pts in sent_ns]
    span_s = (fresh[-1][1] - fresh[0][1]) / 1e9
    p50, p95 = np.percentile(latency_ms, [50, 95])
    children = main.children(recursive=True)
    return Line(at_s, (len(fresh) - 1) / span_s, p50, p95, own_mib([main]), own_mib(children))


def own_mib(processes: list[psutil.Process]) -> float:
    """Memory that nobody else has, of processes together."""
    memory = [process.memory_info() for process in processes]
    return sum(one.rss - one.shared for one in memory) / 2**20


def show(line: Line) -> None:
    print(
        f"{line.at_s:6.0f} s {line.fps:6.1f} fps   latency p50 {line.p50_ms:6.0f} p95 {line.p95_ms:6.0f} ms"
        f"   memory: runner {line.runner_mib:6.1f} worker {line.worker_mib:6.1f} MiB",
        flush=True,
    )


def growth_mib_per_hour(lines: list[Line], name: str) -> float | None:
    """Slope of memory over the settled part; None when that is too short to tell."""
    settled = [line for line in lines if line.at_s > SETTLED_S]
    if len(settled) < 6:
        return None
    points = [line.at_s / 3600 for line in settled], [getattr(line, name) for line in settled]
    return statistics.linear_regression(*points).slope


def verdict(run: Run, limit: Run) -> Iterator[str]:
    """The last lines."""
    for one in (limit, run):
        keys = ("fps", "p50_ms", "p95_ms")
        fps, p50, p95 = (statistics.median(getattr(line, key) for line in one.lines) for key in keys)
        yield f"{one.name:>12}: {fps:.1f} fps, latency p50 {p50:.0f} p95 {p95:.0f} ms (medians of ten seconds)"
        yield f"{'':>12}  {one.delivered} of {one.sent} frames delivered"
    lowest = min(line.fps for line in run.lines)
    yield f"{'':>12}  slowest ten seconds {lowest:.1f} fps (aim: {AIM_FPS})"
    for name in ("runner_mib", "worker_mib"):
        slope = growth_mib_per_hour(run.lines, name)
        told = "too short a run to tell" if slope is None else f"{slope:+.0f} MiB an hour"
        of = name.removesuffix("_mib")
        yield f"{'':>12}  memory of the {of} after the first minute: {told} (aim: under {AIM_MIB_PER_HOUR:g})"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--clip", type=Path)
    options.add_argument("--where", choices=("room", "person", "both"), default="room")
    options.add_argument("--pipeline", default="background")
    given = options.parse_args()
    size = dict(zip(("width", "height"), SIZE, strict=True))
    pictures = source(given.clip)
    limit = asyncio.run(carry("noop", size, encoded(pictures, LIMIT_S), tell=False))
    print(f"encoding {given.minutes:g} minutes of {given.clip or 'a drifting portrait'}", flush=True)
    frames = encoded(pictures, given.minutes * 60)
    params = size | ({"where": given.where} if given.pipeline == "background" else {})
    run = asyncio.run(carry(given.pipeline, params, frames, tell=True))
    print(*verdict(run, limit), sep="\n")


if __name__ == "__main__":
    main()
