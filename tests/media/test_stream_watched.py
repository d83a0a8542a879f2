"""A trickle stream is watched beside its own output: as MPEG-TS and by pages, all from its one encoder."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests._support.live import clip, start

from ai_runner_base.media import AudioPacket, BytePipe, Decoder, JpegDecoder, Picture, read_counter
from ai_runner_base.server.playground_messages import ACKNOWLEDGEMENT, PICTURE, PROTOCOL, Binary
from ai_runner_base.testing.live import RunnerProcess, rgb, runner, send
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.media

LIMIT_S = 20.0


@contextlib.asynccontextmanager
async def _stream(run: RunnerProcess, http: aiohttp.ClientSession) -> AsyncIterator[str]:
    """A live stream that the clip is sent to, over and over."""
    await run.wait_health(http, "IDLE")
    id = await start(run, http)
    sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", clip(4) * 8))
    try:
        yield id
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _play(http: aiohttp.ClientSession, url: str) -> tuple[list[Picture], list[AudioPacket]]:
    """Read MPEG-TS until there are enough pictures."""
    pictures: list[Picture] = []
    sounds: list[AudioPacket] = []
    pipe = BytePipe()
    decoder = Decoder(pipe, on_video=pictures.append, on_audio=sounds.append)
    decoder.start()
    async with asyncio.timeout(LIMIT_S), http.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "video/mp2t")
        async for data in answer.content.iter_any():
            pipe.write(data)
            if len(pictures) >= 30:
                break
    pipe.close()
    await asyncio.to_thread(decoder.stop)
    return pictures, sounds


async def test_two_players_get_pictures_and_sound_from_one_encoder() -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run, _stream(run, http) as id:
        url = f"{run.url}/streams/{id}/output.ts"
        played = await asyncio.gather(_play(http, url), _play(http, url))
        _, status = await run.call(http, "GET", f"/streams/{id}")
    for pictures, sounds in played:
        counters = [number for p in pictures if (number := read_counter(rgb(p))) is not None]
        assert len(counters) >= 25
        assert sounds
        assert sounds[0].info.codec == "opus"
    assert status["sink"]["kind"] == "trickle"
    assert 30 <= status["sink"]["frames"] <= status["frames"]["out"] + 5, "encoded more than once"


async def test_a_page_without_webrtc_sees_it_as_jpeg_and_changes_nothing() -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run, _stream(run, http) as id:
        async with http.ws_connect(f"{run.url}/playground/session", protocols=(PROTOCOL,)) as page:
            await page.send_json({"type": "watch", "stream": id})
            counters = await _look(page, 10)
            _, status = await run.call(http, "GET", f"/streams/{id}")
            assert status["sink"]["watchers"] == 1
            await page.send_json({"type": "params", "n": 1, "params": {}})
            with pytest.raises(AssertionError, match="unknown type 'params'"):
                await _look(page, 1000)
        async with http.ws_connect(f"{run.url}/playground/session", protocols=(PROTOCOL,)) as page:
            await page.send_json({"type": "watch", "stream": "no such"})
            with pytest.raises(AssertionError, match="there is no stream 'no such' to watch"):
                await _look(page, 1)
    assert sorted(set(counters)) == sorted(counters), "pictures were sent twice or out of order"


async def _look(page: aiohttp.ClientWebSocketResponse, count: int) -> list[int]:
    """Take pictures as a page does and return the numbers in them.

    :raises AssertionError: the runner refuses something
    """
    counters: list[int] = []
    decoder = JpegDecoder()
    async with asyncio.timeout(LIMIT_S):
        while len(counters) < count:
            message = await page.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                picture = Binary.decode(message.data)
                assert picture.kind == PICTURE
                await page.send_bytes(Binary(ACKNOWLEDGEMENT, 0, picture.time_us).encode())
                number = read_counter(decoder.decode(picture.jpeg).to_ndarray(format="rgb24"))
                counters += [number] if number is not None else []
                continue
            told = json.loads(message.data)
            assert told["type"] != "refused", told
            if told["type"] == "status":
                await page.send_json({"type": "seen"})
    return counters
