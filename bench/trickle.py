"""What trickle adds to a frame's way: writer, server and reader over loopback, beside a plain TCP relay.

Frames of one size leave at a steady pace; a server in a process of its own hands them on to a reader. The limit is
the same way through a bare asyncio relay that copies bytes from one socket to another, in the same run.

    python bench/trickle.py [--seconds 6] [--repeats 3] [--frame-kb 20] [--channels 1] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass

import psutil
from aiohttp import web

from ai_runner_base.trickle import (
    BASE_PATH,
    Publisher,
    ServerOptions,
    Subscriber,
    TrickleServer,
    client_session,
)

FPS = 30
SEGMENT_FRAMES = 60
WARM_UP_FRAMES = 15
SETTLE_S = 5.0
Send = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True)
class Figures:
    """Latency from the call that sends a frame to its last byte at the reader; CPU time per frame."""

    p50_ms: float
    p99_ms: float
    ends_cpu_ms: float
    """Writer and reader, which share a process."""
    server_cpu_ms: float


class Clock:
    """When frames left, and how long they took: the reader counts bytes, frames have one size."""

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self.sent_ns: list[int] = []
        self.taken_ns: list[int] = []
        self._received = 0

    def received(self, size: int) -> None:
        self._received += size
        now_ns = time.monotonic_ns()
        while (len(self.taken_ns) + 1) * self.frame_bytes <= self._received:
            self.taken_ns.append(now_ns - self.sent_ns[len(self.taken_ns)])


async def pace(clock: Clock, frames: int, send: Callable[[int, bytes], Awaitable[object]]) -> None:
    """Send frames at `FPS`, each when it is due."""
    loop, frame = asyncio.get_running_loop(), os.urandom(clock.frame_bytes)
    begin_s = loop.time()
    for number in range(frames):
        await asyncio.sleep(begin_s + number / FPS - loop.time())
        clock.sent_ns.append(time.monotonic_ns())
        await send(number, frame)


# --- the two ways ---


async def through_trickle(port: int, name: str, clock: Clock, frames: int) -> None:
    url = f"http://127.0.0.1:{port}{BASE_PATH}/{name}"
    async with client_session() as session, contextlib.AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(Publisher(session, url, "video/mp2t", create=True))
        await publisher.open()

        async def read() -> None:
            async with Subscriber(session, url, 0) as subscriber:
                async for segment in subscriber:
                    async for chunk in segment:
                        clock.received(len(chunk))

        reading = asyncio.create_task(read())
        pieces = contextlib.AsyncExitStack()
        write: Send | None = None

        async def send(number: int, frame: bytes) -> None:
            nonlocal write
            if number % SEGMENT_FRAMES == 0:
                await pieces.aclose()
                write = await pieces.enter_async_context(publisher.segment())
            if write is not None:
                await write(frame)

        await pace(clock, frames, send)
        await pieces.aclose()
        await publisher.aclose(delete=True)
        async with asyncio.timeout(SETTLE_S):
            await reading


async def through_relay(port: int, _: str, clock: Clock, frames: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def read() -> None:
        while data := await reader.read(1 << 18):
            clock.received(len(data))

    async def send(_: int, frame: bytes) -> None:
        writer.write(frame)
        await writer.drain()

    reading = asyncio.create_task(read())
    await pace(clock, frames, send)
    writer.write_eof()
    async with asyncio.timeout(SETTLE_S):
        await reading
    writer.close()


# --- the process in the middle ---


async def serve_trickle() -> int:
    app = web.Application()
    TrickleServer(options=ServerOptions(autocreate=True)).attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


class Relay(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a socket was expected")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serve_relay() -> int:
    server = await asyncio.get_running_loop().create_server(Relay, "127.0.0.1", 0)
    asyncio.create_task(server.serve_forever())  # noqa: RUF006 - lives as long as the process
    return int(server.sockets[0].getsockname()[1])


async def serve(kind: str) -> None:
    port = await (serve_trickle() if kind == "trickle" else serve_relay())
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)  # until the parent closes it


@contextlib.asynccontextmanager
async def middle(kind: str) -> AsyncIterator[tuple[int, psutil.Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--serve",
        kind,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("pipes were asked for")
        yield int(await process.stdout.readline()), psutil.Process(process.pid)
    finally:
        process.kill()
        await process.wait()


# --- measuring ---


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(kind: str, frame_bytes: int, seconds: float, channels: int) -> Figures:
    way = through_trickle if kind == "trickle" else through_relay
    async with middle(kind) as (port, server):
        me = psutil.Process()
        await way(port, "warm", Clock(frame_bytes), WARM_UP_FRAMES)
        clocks = [Clock(frame_bytes) for _ in range(channels)]
        mine_s, theirs_s, frames = cpu_s(me), cpu_s(server), int(seconds * FPS)
        await asyncio.gather(*(way(port, f"c{n}", clock, frames) for n, clock in enumerate(clocks)))
        mine_s, theirs_s = cpu_s(me) - mine_s, cpu_s(server) - theirs_s
    taken_ms = sorted(ns / 1e6 for clock in clocks for ns in clock.taken_ns)
    if len(taken_ms) != frames * channels:
        raise RuntimeError(f"{kind}: {len(taken_ms)} of {frames * channels} frames arrived")
    per_frame = 1000 / len(taken_ms)
    return Figures(
        p50_ms=statistics.median(taken_ms),
        p99_ms=taken_ms[int(len(taken_ms) * 0.99)],
        ends_cpu_ms=mine_s * per_frame,
        server_cpu_ms=theirs_s * per_frame,
    )


def median(runs: list[Figures]) -> Figures:
    return Figures(**{name: statistics.median(asdict(run)[name] for run in runs) for name in asdict(runs[0])})


async def run(options: argparse.Namespace) -> dict[str, Figures]:
    runs: dict[str, list[Figures]] = {"TCP relay": [], "trickle": []}
    for _ in range(options.repeats):
        for kind, found in runs.items():
            found.append(await measure(kind, options.frame_kb * 1000, options.seconds, options.channels))
    return {kind: median(found) for kind, found in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frame-kb", type=int, default=20)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=["trickle", "TCP relay"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    results = asyncio.run(run(options))
    if options.json:
        print(json.dumps({kind: asdict(figures) for kind, figures in results.items()}))
        return
    print(
        f"{options.frame_kb} kB frames, {FPS} fps, {options.channels} channel(s), medians of {options.repeats} runs"
    )
    print(f"{'':10} {'p50 ms':>8} {'p99 ms':>8} {'ends cpu-ms':>12} {'server cpu-ms':>14}")
    for kind, f in results.items():
        print(f"{kind:10} {f.p50_ms:8.2f} {f.p99_ms:8.2f} {f.ends_cpu_ms:12.2f} {f.server_cpu_ms:14.2f}")


if __name__ == "__main__":
    main()
