"""An orchestrator's trickle channels in a process of their own, which can be told to misbehave.

    python tests/_support/soak/orchestrator.py PORT CHANNEL…

It serves once it has read a line, so that a successor need not start first. Channels exist from the start and no
others are made, as at an orchestrator. ``POST /fault`` with
``{"channel", "kind", "seconds"}`` disturbs who writes to a channel: ``error`` answers 503 and cuts the segment in
progress, ``slow`` does not read its bytes. ``POST /create/{channel}`` makes a channel again that was deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from ai_runner_base.trickle import BASE_PATH, TrickleServer

MIMES = {"events": "application/json", "control": "application/json"}
START_LIMIT_S = 20.0


class Faults:
    """Disturbs the writers of a channel until a moment."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[str, float]] = {}
        self._writing: dict[str, list[web.Request]] = {}

    def begin(self, channel: str, kind: str, seconds: float) -> None:
        self._until[channel] = kind, time.monotonic() + seconds
        for request in self._writing.get(channel, ()) if kind == "error" else ():
            if request.transport is not None:
                request.transport.abort()

    @web.middleware
    async def middleware(self, request: web.Request, handler) -> web.StreamResponse:
        channel = request.match_info.get("channel", "")
        if request.method != "POST" or not request.path.startswith(BASE_PATH):
            return await handler(request)
        kind, until_s = self._until.get(channel, ("", 0.0))
        left_s = until_s - time.monotonic()
        if kind == "error" and left_s > 0:
            refusal = web.Response(status=503, text="out of order\n")
            refusal.force_close()
            return refusal
        if kind == "slow" and left_s > 0:
            await asyncio.sleep(left_s)
        writing = self._writing.setdefault(channel, [])
        writing.append(request)
        try:
            return await handler(request)
        finally:
            writing.remove(request)


async def serve(port: int, channels: list[str]) -> None:
    if not await asyncio.to_thread(sys.stdin.readline):
        return  # nobody needs it any more
    server, faults = TrickleServer(), Faults()
    app = web.Application(middlewares=[faults.middleware])
    server.attach(app)
    for name in channels:
        server.create(name, MIMES.get(name, "video/mp2t"))

    async def fault(request: web.Request) -> web.Response:
        body = await request.json()
        faults.begin(body["channel"], body["kind"], body["seconds"])
        return web.Response()

    async def create(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        server.create(name, MIMES.get(name, "video/mp2t"))
        return web.Response()

    app.router.add_post("/fault", fault)
    app.router.add_post("/create/{name}", create)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


@dataclass
class Orchestrator:
    """The process, seen from outside. It keeps its port over restarts, and has a successor in reserve.

    :param channels: their names
    """

    port: int
    channels: list[str]
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _successor: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def channel(self, name: str) -> str:
        return f"{self.url}{BASE_PATH}/{name}"

    async def start(self, http: aiohttp.ClientSession) -> None:
        """:raises TimeoutError: it does not answer."""
        self.process = self._successor or await self._spawn()
        if self.process.stdin is not None:
            self.process.stdin.write(b"serve\n")
        self._successor = await self._spawn()
        async with asyncio.timeout(START_LIMIT_S):
            while not await self._answers(http):
                await asyncio.sleep(0.05)

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__)),
            str(self.port),
            *self.channels,
            stdin=asyncio.subprocess.PIPE,
        )

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{self.channel(self.channels[0])}/next") as answer:
                return answer.status == 200
        return False

    async def aclose(self) -> None:
        """End the process and its successor."""
        await self.kill()
        if self._successor is not None:
            self._successor.kill()
            await self._successor.wait()

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def fault(self, http: aiohttp.ClientSession, channel: str, kind: str, seconds: float) -> None:
        body = {"channel": channel, "kind": kind, "seconds": seconds}
        async with http.post(f"{self.url}/fault", json=body) as answer:
            answer.raise_for_status()

    async def create(self, http: aiohttp.ClientSession, channel: str) -> None:
        async with http.post(f"{self.url}/create/{channel}") as answer:
            answer.raise_for_status()

    async def delete(self, http: aiohttp.ClientSession, channel: str) -> None:
        async with http.delete(self.channel(channel)) as answer:
            answer.raise_for_status()


@contextlib.asynccontextmanager
async def orchestrators(http: aiohttp.ClientSession) -> AsyncIterator[tuple[Orchestrator, Orchestrator]]:
    """Two of them, one for what the runner reads and one for what it writes; ended at the end."""
    ports = _free_ports(2)
    pair = Orchestrator(ports[0], ["in", "control"]), Orchestrator(ports[1], ["out", "events"])
    try:
        for one in pair:
            await one.start(http)
        yield pair
    finally:
        for one in pair:
            await one.aclose()


def _free_ports(count: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
