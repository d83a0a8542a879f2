"""End to end: MPEG-TS into a trickle channel in real time, through decode, worker and encode, and out again.

Prints the delivered frame rate, latency from the last byte of a frame sent to the last byte of the same frame received
(bytes to bytes) and to the decoded picture at the viewer (bytes to picture), and the runner's and worker's CPU time per
frame. The sender plays a clip that was encoded before; the viewer checks the number in every picture.

In the same run: decode + encode alone, in this process, over the same frames (the limit for CPU time).

    python bench/live.py [--seconds 10] [--runs 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import threading
import time
from dataclasses import asdict, dataclass

import numpy as np
import psutil

from ai_runner_base.media import (
    BytePipe,
    ClipOptions,
    Decoder,
    Fitter,
    LiveEncoder,
    Picture,
    encode_ts_clip,
    read_counter,
)
from ai_runner_base.testing.live import FrameBytes, Viewer, rgb, runner, send, split_frames
from ai_runner_base.trickle import client_session

SIZES = ((512, 512), (1280, 720), (1920, 1080))
AIM_P50_MS = {(512, 512): 15, (1280, 720): 25, (1920, 1080): 40}
FPS = 30
WARM_UP_S = 1.5


@dataclass
class Figures:
    """One run at one size; latencies in ms, CPU time in ms per frame, memory in MiB."""

    size: str
    sent: int
    delivered: int
    wrong: int
    fps: float
    bytes_p50: float
    bytes_p95: float
    bytes_p99: float
    picture_p50: float
    picture_p95: float
    picture_p99: float
    runner_cpu: float
    worker_cpu: float
    limit_cpu: float
    runner_mib: float
    worker_mib: float

    @property
    def cpu_ratio(self) -> float:
        return (self.runner_cpu + self.worker_cpu) / self.limit_cpu


async def measure(width: int, height: int, frames: list[FrameBytes], pipeline: str) -> Figures:
    """Run once."""
    viewer, sent_ns = Viewer(), dict[int, int]()
    params = {"width": width, "height": height}
    async with client_session() as http, runner("--pipeline", pipeline) as run:
        await run.wait_health(http, "IDLE")
        body = {
            "subscribe_url": f"{run.url}/ai/trickle/in",
            "publish_url": f"{run.url}/ai/trickle/out",
            "params": params,
        }
        status, answer = await run.call(http, "POST", "/live-video-to-video", body)
        if status != 200:
            raise SystemExit(f"the runner refused: {answer}")
        main = psutil.Process(run.pid)
        (worker,) = main.children()
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/out"))
        before = _cpu_s(main), _cpu_s(worker)
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/in", frames, sent_ns=sent_ns))
        await asyncio.sleep(len(frames) / FPS - 0.3)
        after = _cpu_s(main), _cpu_s(worker)
        carried = len(viewer.pictures)
        memory = main.memory_info().rss, worker.memory_info().rss
        await sending
        await watching
    return _figures(f"{width}x{height}", frames, viewer, sent_ns, before, after, carried, memory)


def _figures(size, frames, viewer, sent_ns, before, after, carried, memory) -> Figures:
    numbers = {frame.pts: n for n, frame in enumerate(frames)}
    first = frames[0].pts
    to_bytes, to_picture, wrong = [], [], 0
    for picture in viewer.pictures:
        pts = round(picture.pts * picture.time_base * 90_000)
        wrong += read_counter(rgb(picture)) != numbers[pts]
        if pts - first > WARM_UP_S * 90_000:
            to_bytes.append((picture.received_ns - sent_ns[pts]) / 1e6)
            to_picture.append((picture.decoded_ns - sent_ns[pts]) / 1e6)
    span_s = (viewer.pictures[-1].decoded_ns - viewer.pictures[0].decoded_ns) / 1e9
    cpu = [(b - a) * 1000 / max(carried, 1) for a, b in zip(before, after, strict=True)]
    return Figures(
        size,
        len(frames),
        len(viewer.pictures),
        wrong,
        (len(viewer.pictures) - 1) / span_s,
        *np.percentile(to_bytes, [50, 95, 99]).tolist(),
        *np.percentile(to_picture, [50, 95, 99]).tolist(),
        cpu[0],
        cpu[1],
        0.0,
        memory[0] / 2**20,
        memory[1] / 2**20,
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def codec_alone_ms(width: int, height: int, frames: list[FrameBytes]) -> float:
    """Return CPU ms per frame of decoding to RGB and encoding again in this process, without any runner."""
    pixels = np.empty((height, width, 3), np.uint8)
    fitter = Fitter(width, height)
    encoder = LiveEncoder(width, height, on_bytes=lambda *_: None)
    count = 0

    def on_video(picture: Picture) -> None:
        nonlocal count
        fitter.into(picture, pixels)
        encoded = threading.Event()
        encoder.submit(pixels, picture.pts, picture.time_base, on_done=encoded.set)
        encoded.wait()
        count += 1

    ended = threading.Event()
    pipe = BytePipe()
    decoder = Decoder(pipe, on_video=on_video, on_end=lambda _: ended.set())
    start_s = time.process_time()
    encoder.start()
    decoder.start()
    for frame in frames:
        pipe.write(frame.data)
    pipe.close()
    ended.wait(60)
    decoder.stop()
    encoder.close(10)
    return (time.process_time() - start_s) * 1000 / count


def _median(runs: list[Figures]) -> Figures:
    values = {}
    for key, value in asdict(runs[0]).items():
        values[key] = value if isinstance(value, str) else statistics.median(getattr(r, key) for r in runs)
    return Figures(**values)


def _print(f: Figures, aim_ms: int) -> None:
    print(
        f"{f.size:>10}  {f.delivered}/{f.sent} frames, {f.wrong} wrong, {f.fps:.1f} fps"
        f"  bytes→bytes p50/95/99 {f.bytes_p50:.1f}/{f.bytes_p95:.1f}/{f.bytes_p99:.1f} ms"
        f"  bytes→picture {f.picture_p50:.1f}/{f.picture_p95:.1f}/{f.picture_p99:.1f} ms (aim p50 < {aim_ms})"
    )
    print(
        f"{'':>10}  cpu-ms/frame: runner {f.runner_cpu:.1f} + worker {f.worker_cpu:.1f},"
        f" decode+encode alone {f.limit_cpu:.1f}, ratio {f.cpu_ratio:.2f} (aim < 1.3)"
        f"  memory: runner {f.runner_mib:.0f} MiB, worker {f.worker_mib:.0f} MiB"
    )


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--pipeline", default="noop")
    options.add_argument("--sizes", nargs="*", default=[f"{w}x{h}" for w, h in SIZES])
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    results = []
    for width, height in (tuple(map(int, size.split("x"))) for size in given.sizes):
        frames = split_frames(encode_ts_clip(given.seconds, ClipOptions(width=width, height=height, fps=FPS)))
        limit = statistics.median(codec_alone_ms(width, height, frames) for _ in range(given.runs))
        runs = [asyncio.run(measure(width, height, frames, given.pipeline)) for _ in range(given.runs)]
        figures = _median(runs)
        figures.limit_cpu = limit
        results.append(figures)
        if not given.json:
            _print(figures, AIM_P50_MS.get((width, height), 40))
    if given.json:
        print(json.dumps([asdict(r) | {"cpu_ratio": r.cpu_ratio} for r in results], indent=2))


if __name__ == "__main__":
    main()
