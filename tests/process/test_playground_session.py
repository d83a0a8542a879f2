"""Playground sessions with a real runner and worker, from a client that can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from tests._support.prefixes import SamplePipeline, make_prefix

from ai_runner_base.media import JpegDecoder, JpegEncoder
from ai_runner_base.server.playground_messages import ACKNOWLEDGEMENT, PICTURE, PROTOCOL, Binary
from ai_runner_base.stream._window import MOST
from ai_runner_base.testing.live import RunnerProcess, runner

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

FOLDER = Path(__file__).parents[1] / "browser" / "pipelines" / "invert"
INVERT = SamplePipeline("invert", "sample_invert:Invert", FOLDER)
PIXELS = np.full((512, 512, 3), (200, 120, 40), np.uint8)
JPEG = JpegEncoder().encode(PIXELS)
LIMIT_S = 10.0


@dataclass
class Client:
    """A page without a browser."""

    socket: aiohttp.ClientWebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: list[Binary] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    acknowledges: bool = True

    async def start(self, **fields: Any) -> None:
        await self.socket.send_json({"type": "start", **fields})

    async def send(self, time_us: int, jpeg: bytes = JPEG) -> None:
        await self.socket.send_bytes(Binary(PICTURE, 0, time_us, jpeg).encode())

    async def read(self) -> bool:
        """Take one message; false when the connection has ended."""
        message = await asyncio.wait_for(self.socket.receive(), LIMIT_S)
        if message.type is aiohttp.WSMsgType.TEXT:
            await self._take(json.loads(message.data))
        elif message.type is aiohttp.WSMsgType.BINARY:
            await self._take_binary(Binary.decode(message.data))
        else:
            return False
        return True

    async def _take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if message["type"] == "status":
            await self.socket.send_json({"type": "seen"})

    async def _take_binary(self, binary: Binary) -> None:
        if binary.kind == ACKNOWLEDGEMENT:
            self.taken.append(binary.time_us)
            return
        self.results.append(binary)
        if self.acknowledges:
            await self.socket.send_bytes(Binary(ACKNOWLEDGEMENT, binary.seq, binary.time_us).encode())

    async def until(self, type: str) -> dict[str, Any]:
        """Read to the next message of a type."""
        seen = len(self.messages)
        while not (found := [m for m in self.messages[seen:] if m["type"] == type]):
            assert await self.read(), f"the connection ended before {type!r}: {self.messages}"
        return found[0]

    async def result(self, time_us: int) -> Binary:
        """Send pictures until the first result from `time_us` on that a pipeline made."""
        while True:
            await self.send(time_us)
            seen = len(self.taken)
            while len(self.taken) == seen:
                assert await self.read()
            fresh = [r for r in self.results if r.time_us >= time_us - 50_000 and not r.flags]
            if fresh:
                return fresh[0]
            time_us += 1000
            await asyncio.sleep(0.01)


@dataclass
class Served:
    """A runner with one worker of `invert`."""

    server: RunnerProcess
    http: aiohttp.ClientSession

    @contextlib.asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[Client]:
        headers.setdefault("Origin", self.server.url)
        url = self.server.url + "/playground/session"
        async with self.http.ws_connect(url, protocols=(PROTOCOL,), headers=headers) as socket:
            yield Client(socket)

    async def stream_count(self) -> int:
        return len((await self.server.call(self.http, "GET", "/streams"))[1]["streams"])

    async def until_free(self, limit_s: float) -> float:
        begin_s = time.monotonic()
        async with asyncio.timeout(limit_s):
            while await self.stream_count():
                await asyncio.sleep(0.05)
        return time.monotonic() - begin_s


@contextlib.asynccontextmanager
async def _serve(tmp_path: Path, *arguments: str) -> AsyncIterator[Served]:
    prefix = make_prefix(tmp_path, [INVERT])
    async with (
        runner("--pipeline", "invert", *arguments, prefix=prefix) as server,
        aiohttp.ClientSession() as http,
    ):
        await server.wait_health(http, "IDLE")
        yield Served(server, http)


async def test_pictures_come_back_with_their_own_times_and_numbers(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        await page.start(pipeline="invert")
        started = await page.until("started")
        assert (started["pipeline"], started["width"], started["height"]) == ("invert", 512, 512)
        result = await page.result(1_000_000)
        frame = JpegDecoder().decode(result.jpeg).to_ndarray(format="rgb24")
        assert np.abs(255 - PIXELS.astype(int) - frame).mean() < 6
        assert result.seq > 0
        assert page.taken[0] == 1_000_000
        schema = next(m for m in page.messages if m["type"] == "schema")
        assert schema["default_params"]["strength"] == 1.0


async def test_parameters_tell_the_frame_from_which_they_hold(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        await page.start()
        await page.result(1_000)
        await page.socket.send_json({"type": "params", "n": 7, "params": {"strength": 0}})
        answer = await page.until("params")
        assert (answer["n"], answer["ok"], answer["params"]["strength"]) == (7, True, 0)
        result = await page.result(10_000_000)
        assert result.seq >= answer["from_frame"]
        frame = JpegDecoder().decode(result.jpeg).to_ndarray(format="rgb24")
        assert np.abs(PIXELS.astype(int) - frame).mean() < 6
        await page.socket.send_json({"type": "params", "n": 8, "params": {"strength": 9}})
        answer = await page.until("params")
        assert (answer["n"], answer["ok"]) == (8, False)
        assert answer["errors"][0]["loc"][-1] == "strength"


async def test_page_that_takes_nothing_is_sent_no_more_than_a_window(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        page.acknowledges = False
        await page.start()
        await page.until("started")
        for i in range(60):
            await page.send(1000 + i * 33_000)
            await asyncio.sleep(0.01)
        for _ in range(4):
            await page.until("status")
        assert 1 <= len([r for r in page.results if not r.flags]) <= MOST
        status = (await page.until("status"))["stream"]
        assert status["sink"]["replaced"] > 10


async def test_silent_page_loses_its_stream_within_five_seconds(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        await page.start()
        await page.until("started")
        assert await served.stream_count() == 1
        assert await served.until_free(5) > 2


@pytest.mark.parametrize("clean", [True, False])
async def test_closed_connection_frees_the_worker(tmp_path: Path, clean: bool) -> None:
    async with _serve(tmp_path) as served:
        async with served.client() as page:
            await page.start()
            await page.result(1_000)
            if not clean:
                transport = page.socket.get_extra_info("socket")
                assert transport is not None
                page.socket._response.connection.transport.abort()
            else:
                await page.socket.close()
            assert await served.until_free(5) < 4


async def test_full_runner_says_so_and_when_to_come_back(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as first:
        await first.start()
        await first.until("started")
        async with served.client() as second:
            await second.start()
            refused = await second.until("refused")
            assert (refused["code"], refused["retry_after_s"]) == ("capacity", 1.0)
            assert not await second.read()


@pytest.mark.parametrize(
    ("start", "code", "words"),
    [
        ({"pipeline": "inwert"}, "invalid", "did you mean 'invert'"),
        ({"params": {"strength": "much"}}, "invalid", "strength"),
        ({"pipeline": 3}, "invalid", "pipeline"),
    ],
)
async def test_what_cannot_be_served_is_refused_in_words(
    tmp_path: Path, start: dict[str, Any], code: str, words: str
) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        await page.start(**start)
        refused = await page.until("refused")
        assert refused["code"] == code
        assert words in refused["message"] + refused["hint"]
        assert await served.stream_count() == 0


async def test_protocol_errors_end_the_session_and_free_the_worker(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served:
        for message in (b"\x09" + bytes(15), "{", '{"type": "dance"}', '{"type": "params", "n": "x"}'):
            async with served.client() as page:
                await page.start()
                await page.until("started")
                if isinstance(message, bytes):
                    await page.socket.send_bytes(message)
                else:
                    await page.socket.send_str(message)
                assert (await page.until("refused"))["code"] == "protocol"
                await served.until_free(5)


async def test_flood_ends_the_session(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        await page.start()
        await page.until("started")
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                await page.socket.send_json({"type": "seen"})
        assert "messages in a second" in (await page.until("refused"))["message"]
        await served.until_free(5)


async def test_bad_pictures_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served, served.client() as page:
        await page.start()
        await page.until("started")
        for i, jpeg in enumerate((b"", b"\xff\xd8\xff", JPEG[:500])):
            await page.send(i + 1, jpeg)
            while len(page.taken) <= i:
                assert await page.read()
        await page.result(1_000_000)
        source = (await page.until("status"))["stream"]["source"]
        assert source["invalid"] == 3


async def test_foreign_pages_are_not_let_in(tmp_path: Path) -> None:
    async with _serve(tmp_path) as served:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with served.client(Origin="http://evil.example"):
                pass
        assert refused.value.status == 403


async def test_token_is_wanted_in_the_first_message(tmp_path: Path) -> None:
    async with _serve(tmp_path, "--auth-token", "secret") as served:
        for token in ("", "wrong"):
            async with served.client() as page:
                await page.start(token=token)
                assert (await page.until("refused"))["code"] == "token"
        async with served.client() as page:
            await page.start(token="secret")
            await page.until("started")


async def test_runner_ends_while_a_page_is_open(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(_serve(tmp_path))
        page = await stack.enter_async_context(served.client())
        await page.start()
        await page.until("started")
        served.server.process.terminate()
        ended = await page.until("ended")
        assert "shuts down" in ended["reason"]
        assert await asyncio.wait_for(served.server.process.wait(), LIMIT_S) == 0
