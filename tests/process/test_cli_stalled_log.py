"""A standard error that nobody reads holds nothing up: lines are dropped, counted, and that is told later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from tests._support.live import start

from ai_runner_base.cli._logging import never_waiting
from ai_runner_base.log_context import lost_lines
from ai_runner_base.testing.live import RunnerProcess
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.process


@contextlib.contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that takes nothing more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 512)
    os.set_blocking(writing, True)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        with contextlib.suppress(OSError):
            os.close(writing)


@contextlib.asynccontextmanager
async def unread_runner(stderr: int) -> AsyncIterator[RunnerProcess]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = ("-m", "ai_runner_base", "serve", "--pipeline", "noop", "--port", str(port))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=stderr
    )
    try:
        yield RunnerProcess(process, f"http://127.0.0.1:{port}", [])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def answers(run: RunnerProcess, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                await run.wait_health(http, "IDLE")
                return
            await asyncio.sleep(0.05)


async def test_a_runner_whose_log_nobody_reads_answers_and_stops_as_any_other() -> None:
    with full_pipe() as (_, writing):
        async with client_session() as http, unread_runner(writing) as run:
            await answers(run, http)
            for _ in range(3):
                stream = await start(run, http)
                assert (await run.call(http, "DELETE", f"/streams/{stream}"))[0] == 200
            await run.wait_health(http, "IDLE")
            text = await (await http.get(f"{run.url}/metrics")).text()
            run.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(run.process.wait(), 15) == 0
    assert "ai_runner_log_lines_lost_total 0.0" in text, "a few lines wait instead of being dropped"


def read_until(reading: int, words: str) -> str:
    text = ""
    while words not in text:
        text += os.read(reading, 65536).decode()
    return text.lstrip(".")


def test_lines_without_room_are_counted_and_the_count_follows_the_lines_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, log = logging.getLogger(), logging.getLogger("stalled")
    with full_pipe() as (reading, writing), os.fdopen(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stderr)])
        before = lost_lines.count
        with never_waiting(kept_lines=5):
            for number in range(20):
                log.warning("line %d", number)
            lost = lost_lines.count - before
            text = read_until(reading, "nobody read standard error")
        assert root.handlers[0].__class__ is logging.StreamHandler, "outside, lines are written as before"
    assert lost in (14, 15), "five wait, and one may be on its way"
    kept = [f"line {number}" for number in range(20 - lost)]
    assert text.splitlines() == [*kept, f"{lost} log line(s) were dropped: nobody read standard error"]


def test_a_reader_that_has_gone_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    root, log = logging.getLogger(), logging.getLogger("stalled")
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stderr)])
        before = lost_lines.count
        with never_waiting(kept_lines=5):
            os.close(reading)
            for number in range(20):
                log.warning("line %d", number)
        assert lost_lines.count - before >= 13
