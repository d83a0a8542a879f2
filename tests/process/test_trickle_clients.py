"""Both ends joined through the real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio
from tests._support.trickle import FAST_CLIENT, _no_leaked_tasks, serving, until, within  # noqa: F401

from ai_runner_base.errors import PeerError
from ai_runner_base.trickle import (
    CURRENT,
    NEXT,
    ChannelEndedError,
    ClientOptions,
    Publisher,
    SegmentReader,
    Subscriber,
    client_session,
    short_url,
)

pytestmark = pytest.mark.process


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as made:
        yield made


async def whole(segment: SegmentReader) -> bytes:
    async with within():
        return b"".join([chunk async for chunk in segment])


async def send(publisher: Publisher, *chunks: bytes) -> int:
    async with publisher.segment() as write:
        for chunk in chunks:
            assert await write(chunk)
        return write.seq


async def test_segments_arrive_whole_in_order_and_the_end_is_seen(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch", "video/mp2t")
        url = served.url("ch")
        publisher = Publisher(session, url, "video/mp2t", options=FAST_CLIENT)
        got: list[tuple[int, bytes]] = []

        async def read() -> None:
            async with Subscriber(session, url, options=FAST_CLIENT) as subscriber:
                async for segment in subscriber:
                    got.append((segment.seq, await whole(segment)))
                    assert segment.complete

        reading = asyncio.create_task(read())
        for number in range(12):
            await send(publisher, b"%d-" % number, b"x" * 1000, b"!")
            await until(lambda number=number: len(got) > number)
        await publisher.aclose(delete=True)
        async with within():
            await reading
        assert got == [(n, b"%d-" % n + b"x" * 1000 + b"!") for n in range(12)]
        assert publisher.counters.segments_sent == 12
        assert served.server.channels() == []


async def test_bytes_are_read_while_the_segment_is_written(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        async with (
            Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher,
            Subscriber(session, url, options=FAST_CLIENT) as subscriber,
            publisher.segment() as write,
        ):
            before_ns = time.monotonic_ns()
            assert await write(b"first")
            async with within():
                segment = await anext(subscriber)
                chunks = aiter(segment)
                assert await anext(chunks) == b"first"
                assert before_ns < segment.first_byte_ns < time.monotonic_ns()
                for number in range(20):
                    assert await write(b"%d" % number)
                    assert await anext(chunks) == b"%d" % number


async def test_both_ends_pre_connect_and_reuse_their_connections(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        channel = served.server._existing("ch")
        async with (
            Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher,
            Subscriber(session, url, 0, options=FAST_CLIENT) as subscriber,
        ):
            for seq in range(6):
                async with publisher.segment() as write:
                    await write(b"x")
                    async with within():
                        segment = await anext(subscriber)
                    # reader and writer of the next one are there before it begins
                    await until(lambda seq=seq: len(channel.read(seq + 1)._watchers) == 2)
                assert await whole(segment) == b"x"
            connector = session.connector
            assert connector is not None
            assert sum(len(of_host) for of_host in connector._conns.values()) + len(connector._acquired) <= 5


async def test_readers_start_where_they_are_told(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            for number in range(3):
                await send(publisher, b"%d" % number)
            await until(lambda: publisher.counters.segments_sent == 3)
            for start, expected in ((CURRENT, b"2"), (1, b"1")):
                async with Subscriber(session, url, start, options=FAST_CLIENT) as subscriber, within():
                    assert await whole(await anext(subscriber)) == expected
            async with Subscriber(session, url, NEXT, options=FAST_CLIENT) as subscriber:
                waiting = asyncio.ensure_future(anext(subscriber))
                await asyncio.sleep(0.05)
                await send(publisher, b"3")
                async with within():
                    assert await whole(await waiting) == b"3"


async def test_a_restarted_publisher_goes_on_and_resets(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        first = Publisher(session, url, "x/y", options=FAST_CLIENT)
        await send(first, b"0")
        async with first.segment() as write:
            await write(b"half")
            reader = Subscriber(session, url, 1, options=replace(FAST_CLIENT, overtaken_s=30.0))
            async with reader, Publisher(session, url, "x/y", options=FAST_CLIENT) as second:
                async with within():
                    hanging = await anext(reader)
                assert await send(second, b"again") == 2
                assert await whole(hanging) == b"half"
                async with within():
                    assert await whole(await anext(reader)) == b"again"
        await first.aclose()


async def test_a_slow_reader_skips_to_the_edge(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        async with (
            Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher,
            Subscriber(session, url, 0, options=FAST_CLIENT) as subscriber,
        ):
            await send(publisher, b"0")
            async with within():
                await anext(subscriber)
            for number in range(1, 12):
                await send(publisher, b"%d" % number)
            await until(lambda: publisher.counters.segments_sent == 12)
            async with within():
                assert (await anext(subscriber)).seq == 1  # it was pre-connected
                waiting = asyncio.ensure_future(anext(subscriber))
                await asyncio.sleep(0.1)
                await send(publisher, b"12")
                assert (await waiting).seq == 12


async def test_an_unread_segment_is_let_go_for_the_next(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        async with (
            Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher,
            Subscriber(session, url, 0, options=FAST_CLIENT) as subscriber,
        ):
            await send(publisher, b"0" * 1_000_000)
            async with within():
                first = await anext(subscriber)
                await send(publisher, b"1")
                second = await anext(subscriber)
            assert (second.seq, await whole(second)) == (1, b"1")
            assert await whole(first) == b""
            assert not first.complete


async def test_giving_up_a_wait_loses_nothing(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        async with Subscriber(session, served.url("ch"), options=FAST_CLIENT) as subscriber:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(subscriber)
            async with served.server.publish("ch").segment() as write:
                await write(b"x")
            async with within():
                assert await whole(await anext(subscriber)) == b"x"


async def test_closing_a_reader_ends_who_waits_for_it(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        subscriber = Subscriber(session, served.url("ch"), options=FAST_CLIENT)
        waiting = asyncio.ensure_future(anext(subscriber, None))
        await asyncio.sleep(0.05)
        await subscriber.aclose()
        async with within():
            assert await waiting is None


async def test_a_silent_get_is_asked_again(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        options = replace(FAST_CLIENT, reissue_s=0.1)
        async with Subscriber(session, served.url("ch"), options=options) as subscriber:
            waiting = asyncio.ensure_future(anext(subscriber))
            await asyncio.sleep(0.35)
            async with served.server.publish("ch").segment() as write:
                await write(b"x")
            async with within():
                assert await whole(await waiting) == b"x"


async def test_a_channel_that_does_not_exist(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        url = served.url("none")
        async with Subscriber(session, url, options=FAST_CLIENT) as subscriber:
            assert [segment async for segment in subscriber] == []
        failures: list[PeerError] = []
        async with Publisher(
            session, url, "x/y", options=FAST_CLIENT, on_failed=failures.append
        ) as publisher:
            for _ in range(2):
                with pytest.raises(ChannelEndedError, match=rf"{short_url(url)}.*404 Stream not found"):
                    await send(publisher, b"x")
        assert failures == [publisher.failed]


async def test_a_publisher_may_create_its_channel(session: aiohttp.ClientSession) -> None:
    async with serving(autocreate=True) as served:
        url = served.url("made")
        async with Publisher(session, url, "video/mp2t", options=FAST_CLIENT, create=True) as publisher:
            await publisher.open()
            assert [(info.name, info.mime) for info in served.server.channels()] == [("made", "video/mp2t")]
            assert await send(publisher, b"x") == 0


async def test_closing_with_delete_is_no_failure(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        failures: list[PeerError] = []
        publisher = Publisher(
            session, served.url("ch"), "x/y", options=FAST_CLIENT, on_failed=failures.append
        )
        await send(publisher, b"x")
        await publisher.aclose(delete=True)
        assert (failures, publisher.failed) == ([], None)
        assert publisher.counters.segments_sent == 1
        assert served.server.channels() == []


async def test_a_cancelled_close_leaves_no_upload(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        publisher = Publisher(session, served.url("ch"), "x/y", options=FAST_CLIENT)
        async with publisher.segment() as write:
            await write(b"x")
            closing = asyncio.ensure_future(publisher.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait({closing})
        await until(lambda: not publisher._uploads)


async def test_a_channel_that_is_closed_ends_the_publisher(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        failures: list[PeerError] = []
        async with Publisher(
            session, served.url("ch"), "x/y", options=FAST_CLIENT, on_failed=failures.append
        ) as publisher:
            await send(publisher, b"x")
            await until(lambda: publisher.counters.segments_sent == 1)
            served.server.close("ch")
            await until(lambda: failures)  # the pre-connected POST is told
            with pytest.raises(ChannelEndedError):
                await send(publisher, b"y")


async def test_a_segment_ended_by_others_is_stepped_over(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        channel = served.server._existing("ch")
        async with Publisher(session, served.url("ch"), "x/y", options=FAST_CLIENT) as publisher:
            assert await send(publisher, b"x") == 0
            await until(lambda: channel.end(1))  # it is pre-connected
            await until(lambda: channel.next_write == 2)
            await asyncio.sleep(0.05)
            assert await send(publisher, b"y") == 2
            await until(lambda: publisher.counters.segments_sent == 2)
            assert publisher.counters.segments_failed == 0


async def test_an_idle_segment_is_rolled_and_writing_goes_on(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        url = served.url("ch")
        options = replace(FAST_CLIENT, roll_idle_s=0.1)
        async with (
            Publisher(session, url, "x/y", options=options) as publisher,
            Subscriber(session, url, 0, options=FAST_CLIENT) as subscriber,
            publisher.segment() as write,
        ):
            await write(b"one")
            async with within():
                assert await whole(await anext(subscriber)) == b"one"  # ends although the block goes on
            assert await write(b"two")
            assert write.seq == 1
            async with within():
                assert (await anext(subscriber)).seq == 1
            assert publisher.counters.segments_rolled == 1


async def test_many_channels_at_once(session: aiohttp.ClientSession) -> None:
    count = 120  # more than aiohttp's default limit of 100 connections

    async with serving() as served:

        async def one(name: str) -> list[bytes]:
            served.server.create(name)
            url = served.url(name)
            got: list[bytes] = []
            async with (
                Subscriber(session, url, 0, options=FAST_CLIENT) as subscriber,
                Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher,
            ):
                for number in range(3):
                    await send(publisher, f"{name}-{number}".encode())
                    got.append(await whole(await anext(subscriber)))
            return got

        async with within(30.0):
            results = await asyncio.gather(*(one(f"c{n}") for n in range(count)))
        assert results == [[f"c{n}-{i}".encode() for i in range(3)] for n in range(count)]


async def test_the_authorization_header_is_sent_and_not_shown(session: aiohttp.ClientSession) -> None:
    options = replace(FAST_CLIENT, authorization="Bearer secret")
    seen: list[str | None] = []

    async def look(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(request.headers.get("Authorization"))
        return aiohttp.web.Response(status=404)

    app = aiohttp.web.Application()
    app.router.add_route("*", "/{tail:.*}", look)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://user:password@127.0.0.1:{runner.addresses[0][1]}/ch"
        async with Subscriber(session, url, options=options) as subscriber:
            assert [segment async for segment in subscriber] == []
        publisher = Publisher(session, url, "x/y", options=options)
        with pytest.raises(ChannelEndedError) as raised:
            await publisher.open()
        await publisher.aclose()
        assert seen == ["Bearer secret"] * 2
        assert "password" not in str(raised.value)
        assert "secret" not in repr(options)
    finally:
        await runner.cleanup()


async def test_a_closed_publisher_says_so(session: aiohttp.ClientSession) -> None:
    async with serving() as served:
        served.server.create("ch")
        publisher = Publisher(session, served.url("ch"), "x/y", options=FAST_CLIENT)
        await publisher.open()
        await publisher.aclose()
        await publisher.aclose()
        with pytest.raises(PeerError, match="is closed"):
            await send(publisher, b"x")
        assert served.server.channels()[0].next_write == 0


async def test_defaults_follow_the_contract() -> None:
    options = ClientOptions()
    assert (options.reissue_s, options.retries, options.retry_delay_s) == (20.0, 5, 0.5)
    assert (options.behind_delay_s, options.failures) == (0.25, 3)
