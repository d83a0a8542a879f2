"""How much the wall between runner and worker costs: frames through ring and worker and back, beside the limit.

The limit is a ping-pong over shared memory between two bare processes: one copy in, a wake-up, one copy out, a
wake-up; measured in the same run, with the same pacing. A no-op pipeline does the same work through ring, sockets,
supervisor and worker.

    python bench/worker_roundtrip.py [PREFIX] [--json] [--seconds 4] [--repeats 3]

PREFIX is an environment with ai-runner-base; by default this interpreter's. Both processes' CPU time is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from ai_runner_base.supervisor import Supervisor, SupervisorOptions, WorkerSession, WorkerSpec

SIZES = {"512x512": (512, 512), "1280x720": (1280, 720), "1920x1080": (1920, 1080)}
FPS = 30
TIME_BASE = Fraction(1, FPS)
WARM_UP_FRAMES = 15
NOOP = """
from ai_runner_base import FramePipeline

class Noop(FramePipeline):
    def transform(self, frame, params):
        return frame
"""


@dataclass(frozen=True)
class Paced:
    """Frames at a steady pace: how late each one is back, and what it costs."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    """Per frame, both processes."""
    lost: float = 0
    """Frames that did not come back: replaced by a newer one while the worker was kept from running."""


@dataclass(frozen=True)
class Row:
    """One frame size; medians of the repeats."""

    size: str
    limit: Paced
    limit_fps: float
    worker: Paced
    worker_fps: float
    runner_mib: float
    worker_mib: float

    @property
    def latency_ratio(self) -> float:
        return self.worker.p50_ms / self.limit.p50_ms

    @property
    def cpu_ratio(self) -> float:
        return self.worker.cpu_ms / self.limit.cpu_ms


class CpuClock:
    """CPU time of this process and another one, in milliseconds; finer than the ticks of /proc/PID/stat."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start_ns = self._now_ns()

    def ms(self) -> float:
        return (self._now_ns() - self._start_ns) / 1e6

    def _now_ns(self) -> int:
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        other_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
        return other_ns + time.process_time_ns()


def pace(frames: int, one_frame: Callable[[int], None]) -> None:
    """Call a function at `FPS`."""
    start_s = time.monotonic()
    for index in range(frames):
        time.sleep(max(0.0, start_s + index / FPS - time.monotonic()))
        one_frame(index)


def paced(latencies_ns: list[int], cpu_ms: float, lost: int = 0) -> Paced:
    ms = sorted(ns / 1e6 for ns in latencies_ns)
    at = statistics.quantiles(ms, n=100, method="inclusive")
    return Paced(at[49], at[94], at[98], cpu_ms / len(ms), lost)


# The limit


class PingPong:
    """Two processes, one shared mapping with a picture each way, two eventfds. As little as can be done."""

    def __init__(self, size_bytes: int) -> None:
        self._memory_fd = os.memfd_create("ping-pong")
        os.ftruncate(self._memory_fd, 2 * size_bytes)
        pixels = np.frombuffer(mmap.mmap(self._memory_fd, 2 * size_bytes), np.uint8)
        self._slot = pixels[:size_bytes]
        self._there, self._back = os.eventfd(0), os.eventfd(0)
        fds = self._memory_fd, self._there, self._back
        argv = [sys.executable, __file__, "--pong", *map(str, fds), str(size_bytes)]
        self._child = subprocess.Popen(argv, pass_fds=fds)

    @property
    def pid(self) -> int:
        return self._child.pid

    def frame(self, picture: np.ndarray) -> int:
        """:returns: nanoseconds there and back"""
        start_ns = time.monotonic_ns()
        self._slot[:] = picture
        os.eventfd_write(self._there, 1)
        os.eventfd_read(self._back)
        return time.monotonic_ns() - start_ns

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for fd in (self._memory_fd, self._there, self._back):
            os.close(fd)


def pong(memory_fd: int, there: int, back: int, size_bytes: int) -> None:
    """The other process."""
    pixels = np.frombuffer(mmap.mmap(memory_fd, 2 * size_bytes), np.uint8)
    while True:
        os.eventfd_read(there)
        pixels[size_bytes:] = pixels[:size_bytes]
        os.eventfd_write(back, 1)


def measure_limit(width: int, height: int, seconds: float) -> tuple[Paced, float]:
    picture = np.random.default_rng(0).integers(0, 256, width * height * 3, np.uint8)
    game = PingPong(picture.size)
    try:
        for _ in range(WARM_UP_FRAMES):
            game.frame(picture)
        latencies: list[int] = []
        clock = CpuClock(game.pid)
        pace(int(seconds * FPS), lambda index: latencies.append(game.frame(picture)))
        result = paced(latencies, clock.ms())
        count, start_s = 0, time.monotonic()
        while time.monotonic() - start_s < seconds / 2:
            game.frame(picture)
            count += 1
        return result, count / (time.monotonic() - start_s)
    finally:
        game.close()


# The worker


class Client:
    """A producing thread beside the event loop, as a stream's decode thread is; results are let go at once."""

    def __init__(self, supervisor: Supervisor, picture: np.ndarray, *, lossless: bool) -> None:
        self._picture = picture
        self._starts_ns: dict[int, int] = {}
        self._latencies_ns: list[int] = []
        self.session: WorkerSession = supervisor.open_session(
            request_id="bench", lossless=lossless, on_output=self._take, on_error=print
        )

    def _take(self, output) -> None:  # type: ignore[no-untyped-def]  # a WorkerOutput
        self._latencies_ns.append(time.monotonic_ns() - self._starts_ns.pop(output.pts))
        output.release()

    def frame(self, index: int) -> None:
        height, width = self._picture.shape[:2]
        self._starts_ns[index] = time.monotonic_ns()
        slot = self.session.acquire(width, height, timeout_s=10)
        if slot is None:
            raise RuntimeError("no slot for a frame")
        slot.array[:] = self._picture
        self.session.commit(slot, index, TIME_BASE)

    async def paced(self, frames: int, pid: int) -> Paced:
        await asyncio.to_thread(pace, WARM_UP_FRAMES, self.frame)
        await self.session.drain(5)
        self._latencies_ns.clear()
        clock = CpuClock(pid)
        await asyncio.to_thread(pace, frames, self.frame)
        await self.session.drain(5)
        return paced(self._latencies_ns, clock.ms(), frames - len(self._latencies_ns))

    async def flat_out(self, seconds: float) -> float:
        """:returns: frames per second, none dropped"""

        def produce() -> None:
            for index in range(10**9):
                if stop.is_set():
                    return
                self.frame(index)

        stop = threading.Event()
        start_s = time.monotonic()
        producer = asyncio.create_task(asyncio.to_thread(produce))
        await asyncio.sleep(seconds)
        stop.set()
        await producer
        await self.session.drain(5)
        return len(self._latencies_ns) / (time.monotonic() - start_s)


async def measure_worker(
    prefix: Path, width: int, height: int, seconds: float
) -> tuple[Paced, float, float, float]:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    supervisor = Supervisor(
        WorkerSpec(prefix, "bench_noop:Noop", "noop", env=dict(os.environ)), SupervisorOptions()
    )
    await supervisor.start()
    try:
        info = await supervisor.wait_ready(60)
        client = Client(supervisor, picture, lossless=False)
        result = await client.paced(int(seconds * FPS), info.pid)
        client.session.close()
        client = Client(supervisor, picture, lossless=True)
        fps = await client.flat_out(seconds / 2)
        client.session.close()
        mib = [psutil.Process(pid).memory_info().rss / 2**20 for pid in (os.getpid(), info.pid)]
    finally:
        await supervisor.aclose()
    return result, fps, mib[0], mib[1]


async def measure_restart(prefix: Path) -> float:
    """:returns: seconds from ``kill -9`` of the worker to the next transformed frame"""
    picture = np.zeros((512, 512, 3), np.uint8)
    supervisor = Supervisor(WorkerSpec(prefix, "bench_noop:Noop", "noop", env=dict(os.environ)))
    await supervisor.start()
    try:
        info = await supervisor.wait_ready(60)
        back = asyncio.Event()

        def take(output) -> None:  # type: ignore[no-untyped-def]  # a WorkerOutput
            output.release()
            back.set()

        session = supervisor.open_session(request_id="bench", on_output=take, on_error=print)
        os.kill(info.pid, 9)
        start_s = time.monotonic()
        while not back.is_set():
            if (slot := session.acquire(512, 512)) is not None:
                slot.array[:] = picture
                session.commit(slot, 0, TIME_BASE)
            await asyncio.sleep(1 / FPS)
        return time.monotonic() - start_s
    finally:
        await supervisor.aclose()


# The report


def median_paced(runs: list[Paced]) -> Paced:
    return Paced(
        *(statistics.median(values) for values in zip(*(asdict(run).values() for run in runs), strict=True))
    )


def measure(prefix: Path, size: str, seconds: float, repeats: int) -> Row:
    """Limit and worker in turns, so that a busy neighbour disturbs both."""
    limits, workers = [], []
    for _ in range(repeats):
        limits.append(measure_limit(*SIZES[size], seconds))
        workers.append(asyncio.run(measure_worker(prefix, *SIZES[size], seconds)))
    return Row(
        size,
        median_paced([run[0] for run in limits]),
        statistics.median(run[1] for run in limits),
        median_paced([run[0] for run in workers]),
        *(statistics.median(run[index] for run in workers) for index in (1, 2, 3)),
    )


def print_table(rows: list[Row], restart_s: float) -> None:
    print(f"{'':22}" + "".join(f"{row.size:>12}" for row in rows))

    def line(label: str, value: Callable[[Row], float], digits: int = 2) -> None:
        print(f"{label:22}" + "".join(f"{value(row):12.{digits}f}" for row in rows))

    for quantile in ("p50_ms", "p95_ms", "p99_ms", "cpu_ms"):
        name = "cpu-ms per frame" if quantile == "cpu_ms" else f"{quantile[:3]} ms at {FPS} fps"
        line(f"limit   {name}", lambda row, q=quantile: getattr(row.limit, q))  # type: ignore[misc]
        line(f"worker  {name}", lambda row, q=quantile: getattr(row.worker, q))  # type: ignore[misc]
    line("worker  frames lost", lambda row: row.worker.lost, 0)
    line("limit   frames/s", lambda row: row.limit_fps, 0)
    line("worker  frames/s", lambda row: row.worker_fps, 0)
    line("ratio   p50", lambda row: row.latency_ratio)
    line("ratio   cpu", lambda row: row.cpu_ratio)
    line("runner  MiB resident", lambda row: row.runner_mib, 0)
    line("worker  MiB resident", lambda row: row.worker_mib, 0)
    print(f"worker killed: transformed frames back after {restart_s:.2f} s")


def with_noop(prefix: Path, folder: Path) -> Path:
    """A throw-away environment on top of `prefix` that has the no-op pipeline."""
    python = prefix / "bin" / "python"
    place = folder / "prefix"
    subprocess.run([python, "-m", "venv", "--without-pip", place], check=True)
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    base, own = (
        subprocess.run(
            [p / "bin" / "python", "-c", query], check=True, capture_output=True, text=True
        ).stdout.strip()
        for p in (prefix, place)
    )
    (folder / "bench_noop.py").write_text(NOOP)
    # `site` also reads the .pth files of the base environment, where an editable install has its path
    (Path(own) / "base.pth").write_text(f"{folder}\nimport site; site.addsitedir({base!r})\n")
    return place


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prefix", nargs="?", type=Path, default=Path(sys.prefix))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each paced run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", action="append", choices=list(SIZES))
    parser.add_argument("--pong", nargs=4, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pong:
        pong(*args.pong)
        return
    with tempfile.TemporaryDirectory() as folder:
        prefix = with_noop(args.prefix, Path(folder))
        rows = [measure(prefix, size, args.seconds, args.repeats) for size in args.size or SIZES]
        restart_s = statistics.median(asyncio.run(measure_restart(prefix)) for _ in range(args.repeats))
    if args.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "restart_s": restart_s}, indent=2))
    else:
        print_table(rows, restart_s)


if __name__ == "__main__":
    main()
