"""A trickle server on a loopback port, a raw HTTP client that shows every byte, and a scripted raw server."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
from aiohttp import web

from ai_runner_base.trickle import BASE_PATH, ClientOptions, Limits, ServerOptions, TrickleServer

DEADLINE_S = 5.0
SEQ, LATEST = "Lp-Trickle-Seq", "Lp-Trickle-Latest"
FAST_SERVER = ServerOptions(
    continue_interval_s=0.1,
    departure_check_s=0.1,
    linger_s=0.2,
    reader_stall_timeout_s=0.5,
    append_grace_s=0.1,
)
FAST_CLIENT = ClientOptions(
    connect_timeout_s=2.0,
    reissue_s=2.0,
    idle_timeout_s=1.0,
    overtaken_s=0.1,
    retry_delay_s=0.02,
    behind_delay_s=0.02,
    write_timeout_s=0.3,
    late_after_s=0.2,
    answer_timeout_s=1.0,
)


@pytest_asyncio.fixture(autouse=True)
async def _no_leaked_tasks(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Stricter than the root's: neither asyncio nor aiohttp may complain of an error that nobody caught."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    mine = {asyncio.current_task()}
    left = [task for task in asyncio.all_tasks() - before - mine if not task.done()]
    assert not left, f"tasks left behind: {left}"
    gc.collect()
    complaints = [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not complaints


async def until(condition: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Wait for something that announces itself to nobody."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def within(seconds: float = DEADLINE_S) -> asyncio.Timeout:
    """Every wait in these tests has a limit."""
    return asyncio.timeout(seconds)


@dataclass
class Served:
    server: TrickleServer
    origin: str
    port: int

    def url(self, channel: str) -> str:
        return f"{self.origin}{BASE_PATH}/{channel}"


@asynccontextmanager
async def serving(
    limits: Limits | None = None,
    options: ServerOptions = FAST_SERVER,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    **changes: object,
) -> AsyncIterator[Served]:
    """Run a server; ``changes`` are fields of `ServerOptions`."""
    server = TrickleServer(limits, options=replace(options, **changes))
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True, ssl_context=tls)
    await site.start()
    actual = runner.addresses[0][1]
    try:
        yield Served(server, f"http{'s' if tls else ''}://127.0.0.1:{actual}", actual)
    finally:
        async with within():
            await runner.cleanup()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""
    provisional: list[int] = field(default_factory=list)


class RawClient:
    """One connection, one request; reads what the server really sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._provisional: list[int] = []

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int, receive_buffer_bytes: int = 0) -> AsyncIterator[RawClient]:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, chunked: bool = False
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: test"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read one status line with headers, provisional or final."""
        async with within():
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *rest = raw.decode().rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest)
        return int(first.split(" ")[1]), headers

    async def answer(self) -> Answer:
        """Read to the end of the final response."""
        provisional: list[int] = []
        while True:
            status, headers = await self.head()
            if status >= 200:
                return Answer(status, headers, await self.body(headers), provisional)
            provisional.append(status)

    async def body(self, headers: dict[str, str]) -> bytes:
        if headers.get("Transfer-Encoding") != "chunked":
            async with within():
                return await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        parts = []
        while part := await self.next_chunk():
            parts.append(part)
        return b"".join(parts)

    async def next_chunk(self) -> bytes:
        async with within():
            line = await self.reader.readuntil(b"\r\n")
            data = await self.reader.readexactly(int(line, 16) + 2)
        return data[:-2]

    async def silent(self, seconds: float) -> bool:
        """Tell if the server sends nothing for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False


@dataclass
class Request:
    """What a scripted server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def part(self) -> str:
        return self.path.rsplit("/", 1)[1]

    def reply(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    def stream(self, headers: dict[str, str] | None = None) -> None:
        lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def body(self) -> bytes:
        """Read a chunked body to its end."""
        parts = []
        while True:
            size = int(await self.reader.readline(), 16)
            parts.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
            if not size:
                return b"".join(parts)


def next_is(request: Request, seq: int) -> bool:
    """Answer /next; tell if it was asked."""
    if request.part == "next":
        request.reply(200, {LATEST: str(seq)}, str(seq).encode())
    return request.part == "next"


Script = Callable[[Request], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[tuple[str, list[Request]]]:
    """Serve every request with ``script``; yields a channel URL and the requests so far."""
    requests: list[Request] = []
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while raw := await reader.readuntil(b"\r\n\r\n"):
                request = _parse(raw, reader, writer)
                requests.append(request)
                await script(request)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # also of a task that was cancelled before it began

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/ai/trickle/ch", requests
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _parse(raw: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    first, *rest = raw.decode().rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(re.split(r":\s*", line, maxsplit=1) for line in rest)
    return Request(method, path, headers, reader, writer)
