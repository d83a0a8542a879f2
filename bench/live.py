"""End to end: MPEG-TS into a trickle channel in real time, through decode, worker and encode, and out again.

Prints the delivered frame rate, latency from the last byte of a frame sent to the last byte of the same frame received
(bytes to bytes) and to the decoded picture at the viewer (bytes to picture), and the runner's and worker's CPU time per
frame. The sender plays a clip that was encoded before; the viewer checks the number in every picture. Medians of the
runs, and their spread. CPU time is counted from the same moment on for all, when everything is open.

In the same run, over the same frames and at the same pace (flat out, with warm caches, a codec takes a third less):

- decode + encode alone, in a process of its own: the limit for CPU time;
- the same between a plain aiohttp request and a plain aiohttp response: what HTTP costs, whoever does it.

    python bench/live.py [--seconds 10] [--runs 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass

import aiohttp
import numpy as np
import psutil
from aiohttp import web

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
    alone_cpu: float
    http_cpu: float
    runner_mib: float
    worker_mib: float

    @property
    def cpu_ratio(self) -> float:
        return (self.runner_cpu + self.worker_cpu) / self.alone_cpu


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
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/in", frames, sent_ns=sent_ns))
        cpu = await _cpu_ms(len(frames), lambda: len(viewer.pictures), main, worker)
        memory = main.memory_info().rss, worker.memory_info().rss
        await sending
        await watching
    return _figures(f"{width}x{height}", frames, viewer, sent_ns, cpu, memory)


def _figures(size, frames, viewer, sent_ns, cpu, memory) -> Figures:
    numbers = {frame.pts: n for n, frame in enumerate(frames)}
    first = frames[0].pts
    to_bytes, to_picture, wrong = [], [], 0
    for picture in viewer.pictures:
        pts = round(picture.pts * picture.time_base * 90_000)
        wrong += read_counter(rgb(picture)) != numbers[pts]
        if pts - first > WARM_UP_S * 90_000:
            to_bytes.append((picture.received_ns - sent_ns[pts]) / 1e6)
            to_picture.append((picture.decoded_ns - sent_ns[pts]) / 1e6)
    if not to_bytes:
        raise SystemExit(
            f"no picture of {size} came back after the warm-up: the machine is too busy to measure"
        )
    span_s = (viewer.pictures[-1].decoded_ns - viewer.pictures[0].decoded_ns) / 1e9
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
        0.0,
        memory[0] / 2**20,
        memory[1] / 2**20,
    )


async def _cpu_ms(frames: int, count: Callable[[], int], *processes: psutil.Process) -> list[float]:
    """CPU ms per frame of each process, from the end of the warm-up to just before the last frame."""
    await asyncio.sleep(WARM_UP_S)
    before, first = [_cpu_s(process) for process in processes], count()
    await asyncio.sleep(frames / FPS - WARM_UP_S - 0.3)
    after, carried = [_cpu_s(process) for process in processes], max(count() - first, 1)
    return [(b - a) * 1000 / carried for a, b in zip(before, after, strict=True)]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


# The limits: processes of their own, started by this script with `--limit`


class Codec:
    """Decodes to RGB and encodes again, as a stream with a no-op pipeline does.

    :param on_bytes: called on the encode thread
    """

    def __init__(self, width: int, height: int, on_bytes: Callable[[bytes], None]) -> None:
        self.pipe = BytePipe()
        self.count = 0
        self._pixels, self._fitter = np.empty((height, width, 3), np.uint8), Fitter(width, height)
        self._encoder = LiveEncoder(width, height, on_bytes=lambda data, *_: on_bytes(data))
        self._decoder = Decoder(self.pipe, on_video=self._take)

    def _take(self, picture: Picture) -> None:
        self._fitter.into(picture, self._pixels)
        encoded = threading.Event()
        self._encoder.submit(self._pixels, picture.pts, picture.time_base, on_done=encoded.set)
        encoded.wait()
        self.count += 1

    def start(self) -> None:
        self._encoder.start()
        self._decoder.start()

    def stop(self) -> None:
        self._decoder.stop()
        self._encoder.close()


def codec_alone(width: int, height: int) -> None:
    """Frames on standard input, each behind its length; one byte on standard output when it is ready for them."""
    codec = Codec(width, height, lambda _: None)
    codec.start()
    sys.stdout.buffer.write(b"!")
    sys.stdout.flush()
    while size := int.from_bytes(sys.stdin.buffer.read(4)):
        codec.pipe.write(sys.stdin.buffer.read(size))
    codec.stop()


def codec_with_http(width: int, height: int) -> None:
    """POST /in with the input; GET /out with the output. Nothing else of ours. The port comes on standard input."""
    coded: asyncio.Queue[bytes] = asyncio.Queue()

    async def begin(_: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        codec.append(Codec(width, height, lambda data: loop.call_soon_threadsafe(coded.put_nowait, data)))
        codec[0].start()
        yield
        codec[0].stop()

    async def take(request: web.Request) -> web.Response:
        async for chunk in request.content.iter_any():
            codec[0].pipe.write(chunk)
        return web.Response()

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(OSError):
            while True:
                await response.write(await coded.get())
        return response

    codec: list[Codec] = []
    app = web.Application()
    app.cleanup_ctx.append(begin)
    app.add_routes([web.post("/in", take), web.get("/out", give)])
    port = int.from_bytes(sys.stdin.buffer.read(4))
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


@contextlib.asynccontextmanager
async def limit_process(name: str, width: int, height: int) -> AsyncIterator[asyncio.subprocess.Process]:
    argv = sys.executable, __file__, "--limit", name, "--sizes", f"{width}x{height}"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def measure_alone(width: int, height: int, frames: list[FrameBytes]) -> float:
    """CPU ms per frame."""
    async with limit_process("alone", width, height) as process:
        sent = 0
        await process.stdout.readexactly(1)

        async def feed() -> None:
            nonlocal sent
            async for frame in paced(frames):
                process.stdin.write(len(frame).to_bytes(4) + frame)
                sent += 1

        feeding = asyncio.create_task(feed())
        (cpu,) = await _cpu_ms(len(frames), lambda: sent, psutil.Process(process.pid))
        await feeding
    return cpu


async def measure_http(width: int, height: int, frames: list[FrameBytes]) -> float:
    """CPU ms per frame."""
    async with limit_process("http", width, height) as process, aiohttp.ClientSession() as http:
        port = _free_port()
        process.stdin.write(port.to_bytes(4))
        url = f"http://127.0.0.1:{port}"
        output = await _connect(http, f"{url}/out")
        sending = asyncio.create_task(_post(http, f"{url}/in", frames))
        reading = asyncio.create_task(_read(output))
        begin_s = time.monotonic()
        (cpu,) = await _cpu_ms(
            len(frames), lambda: int((time.monotonic() - begin_s) * FPS), psutil.Process(process.pid)
        )
        await sending
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        output.close()
    return cpu


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def paced(frames: list[FrameBytes]) -> AsyncIterator[bytes]:
    begin_s = time.monotonic()
    for index, frame in enumerate(frames):
        await asyncio.sleep(max(0.0, begin_s + index / FPS - time.monotonic()))
        yield frame.data


async def _connect(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    async with asyncio.timeout(20):
        while True:
            try:
                return await http.get(url)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


async def _post(http: aiohttp.ClientSession, url: str, frames: list[FrameBytes]) -> None:
    async with http.post(url, data=paced(frames)):
        pass


async def _read(output: aiohttp.ClientResponse) -> None:
    async for _ in output.content.iter_any():
        pass


# Output


class Runs:
    """The runs at one size."""

    def __init__(self, runs: list[Figures]) -> None:
        self._runs = runs

    def median(self, name: str) -> float:
        return statistics.median(getattr(run, name) for run in self._runs)

    def show(self, name: str) -> str:
        """Median, and between which values all runs were."""
        values = [getattr(run, name) for run in self._runs]
        return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"

    def report(self, aim_ms: int) -> str:
        first, show = self._runs[0], self.show
        delivered = min(run.delivered for run in self._runs)
        wrong = sum(run.wrong for run in self._runs)
        latency = " / ".join(show(f"bytes_p{q}") for q in (50, 95, 99))
        picture = " / ".join(show(f"picture_p{q}") for q in (50, 95, 99))
        return "\n".join(
            (
                f"{first.size:>10}  at least {delivered}/{first.sent} frames, {wrong} wrong, {show('fps')} fps",
                f"{'':>10}  bytes→bytes p50 / 95 / 99: {latency} ms (aim p50 < {aim_ms})",
                f"{'':>10}  bytes→picture p50 / 95 / 99: {picture} ms",
                f"{'':>10}  cpu-ms/frame: runner {show('runner_cpu')} + worker {show('worker_cpu')};"
                f" decode + encode alone {show('alone_cpu')}, with plain HTTP {show('http_cpu')};"
                f" ratio to alone {show('cpu_ratio')} (aim < 1.3)",
                f"{'':>10}  memory: runner {self.median('runner_mib'):.0f} MiB,"
                f" worker {self.median('worker_mib'):.0f} MiB",
            )
        )

    def as_json(self) -> list[dict[str, object]]:
        return [asdict(run) | {"cpu_ratio": run.cpu_ratio} for run in self._runs]


async def run_size(width: int, height: int, seconds: float, runs: int, pipeline: str) -> Runs:
    """Limits and streams in turn, so that the rest of the machine disturbs them alike."""
    frames = split_frames(encode_ts_clip(seconds, ClipOptions(width=width, height=height, fps=FPS)))
    results = []
    for _ in range(runs):
        alone = await measure_alone(width, height, frames)
        http = await measure_http(width, height, frames)
        figures = await measure(width, height, frames, pipeline)
        figures.alone_cpu, figures.http_cpu = alone, http
        results.append(figures)
    return Runs(results)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--pipeline", default="noop")
    options.add_argument("--sizes", nargs="*", default=[f"{w}x{h}" for w, h in SIZES])
    options.add_argument("--json", action="store_true")
    options.add_argument("--limit", choices=("alone", "http"), help=argparse.SUPPRESS)
    given = options.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in given.sizes]
    if given.limit:
        (codec_alone if given.limit == "alone" else codec_with_http)(*sizes[0])
        return
    results = []
    for width, height in sizes:
        load = os.getloadavg()[0]
        runs = asyncio.run(run_size(width, height, given.seconds, given.runs, given.pipeline))
        results += runs.as_json()
        if not given.json:
            print(runs.report(AIM_P50_MS.get((width, height), 40)))
            print(
                f"{'':>10}  {given.runs} runs; load {load:.1f} before, {os.getloadavg()[0]:.1f} after",
                flush=True,
            )
    if given.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
