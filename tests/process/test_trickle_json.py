"""Events out and control messages in: one JSON object per segment, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from tests._support.trickle import (  # noqa: F401
    FAST_CLIENT,
    Request,
    _no_leaked_tasks,
    scripted,
    serving,
    until,
    within,
)

from ai_runner_base.errors import PeerError
from ai_runner_base.trickle import (
    ChannelEndedError,
    JsonPublisher,
    JsonSubscriber,
    Publisher,
    Subscriber,
    TrickleServer,
    client_session,
)
from ai_runner_base.trickle.json_channel import MESSAGE_LIMIT_BYTES, MIME

pytestmark = pytest.mark.process


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as made:
        yield made


async def post(server: TrickleServer, *chunks: bytes) -> None:
    async with server.publish("ch").segment() as write:
        for chunk in chunks:
            await write(chunk)
            await asyncio.sleep(0.01)


def publisher(session: aiohttp.ClientSession, url: str, **options: int) -> JsonPublisher:
    return JsonPublisher(Publisher(session, url, MIME, options=FAST_CLIENT), **options)


def subscriber(session: aiohttp.ClientSession, url: str, *, latest: bool = False) -> JsonSubscriber:
    return JsonSubscriber(Subscriber(session, url, 0, options=FAST_CLIENT), latest=latest)


async def test_events_arrive_in_order_one_per_segment(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch", MIME)
        got = []
        async with subscriber(session, served.url("ch")) as reader:
            writer = publisher(session, served.url("ch"))
            for number in range(5):
                event = {"event": {"type": "status", "n": number}}
                assert writer.put(event)
                event["event"]["n"] = "changed later"
                async with within():
                    got.append(await anext(reader))
            await writer.aclose(delete=True)
            async with within():
                assert [message async for message in reader] == []
        assert got == [{"event": {"type": "status", "n": n}} for n in range(5)]
        assert (writer.sent, writer.dropped) == (5, 0)


async def test_a_burst_is_sent_and_what_does_not_fit_is_dropped_from_the_old_end(
    session: aiohttp.ClientSession,
) -> None:
    async with serving() as served:
        served.server.create("ch", MIME)
        writer = publisher(session, served.url("ch"), queue_size=3)
        for number in range(10):
            writer.put({"n": number})
        assert writer.dropped == 7
        await writer.aclose()
        assert writer.sent == 3
        async with subscriber(session, served.url("ch")) as reader, within():
            assert [await anext(reader) for _ in range(3)] == [{"n": n} for n in (7, 8, 9)]
        assert not writer.put({"n": 11})
        assert writer.dropped == 8


async def test_no_json_is_the_callers_fault(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch", MIME)
        async with publisher(session, served.url("ch")) as writer:
            with pytest.raises(TypeError):
                writer.put({"x": object()})


async def test_a_channel_that_ended_fails_the_publisher_not_the_caller(
    session: aiohttp.ClientSession,
) -> None:
    async with serving() as served:
        async with publisher(session, served.url("none")) as writer:
            writer.put({"n": 1})
            await until(lambda: writer.failed)
            assert isinstance(writer.failed, ChannelEndedError)
            assert not writer.put({"n": 2})
            assert (writer.sent, writer.dropped) == (0, 2)


async def test_long_messages_in_pieces_and_keep_alives(session: aiohttp.ClientSession) -> None:
    long = {"prompt": "x" * 300_000, "keep": "alive"}
    body = json.dumps(long).encode()
    async with serving() as served:
        served.server.create("ch", MIME)
        async with subscriber(session, served.url("ch")) as reader:
            await post(served.server, b'{"keep":', b' "alive"}')
            await post(served.server, body[:40_000], body[40_000:40_001], body[40_001:])
            await post(served.server, b'{"keep":"alive"}')
            await post(served.server)
            await post(served.server, b'{"a":1}')
            async with within():
                assert await anext(reader) == long  # more than a keep-alive
                assert await anext(reader) == {"a": 1}
            assert reader.rejected == 0


async def test_rubbish_is_counted_and_skipped(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch", MIME)
        async with subscriber(session, served.url("ch")) as reader:
            for body in (b"{", b"\xff\xfe", b"[1]", b"null", b"1" * 70_000, b"[" * 100_000):
                await post(served.server, body)
            await post(served.server, *[b" " * (MESSAGE_LIMIT_BYTES // 4)] * 5)
            await post(served.server, b'{"a":1}')
            async with within():
                assert await anext(reader) == {"a": 1}
            assert reader.rejected == 7


async def test_latest_skips_what_was_overtaken(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch", MIME)
        async with subscriber(session, served.url("ch"), latest=True) as reader:
            for number in range(6):
                await post(served.server, b'{"n":%d}' % number)
                await until(lambda number=number: reader._waiting == type(reader._waiting)([{"n": number}]))
            async with within():
                assert await anext(reader) == {"n": 5}
            assert reader.skipped == 5


async def test_a_reader_that_gives_up_says_so(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        request.reply(500)

    async with scripted(script) as (url, _), subscriber(session, url) as reader, within():
        with pytest.raises(PeerError, match="HTTP 500"):
            await anext(reader)
