"""The same rules without HTTP: publishing and subscribing inside one process."""

from __future__ import annotations

import asyncio

import pytest

from ai_runner_base.errors import CallerError, PeerError
from ai_runner_base.trickle import (
    NEXT,
    ChannelReader,
    ChannelWriter,
    Limits,
    SegmentReader,
    TrickleServer,
)

pytestmark = pytest.mark.unit


def make(**limits: int) -> TrickleServer:
    server = TrickleServer(Limits(**limits))
    server.create("ch", "text/plain")
    return server


async def send(writer: ChannelWriter, *chunks: bytes) -> int:
    async with writer.segment() as write:
        for chunk in chunks:
            assert await write(chunk)
        return write.seq


async def whole(segment: SegmentReader) -> bytes:
    return b"".join([chunk async for chunk in segment])


async def read_all(reader: ChannelReader) -> list[tuple[int, bytes]]:
    return [(segment.seq, await whole(segment)) async for segment in reader]


async def test_what_is_written_is_read_until_the_end() -> None:
    server = make()
    publisher = server.publish("ch")
    reading = asyncio.create_task(read_all(server.subscribe("ch")))
    for number in range(7):
        assert await send(publisher, b"a%d" % number, b"", b"b") == number
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await publisher.aclose(delete=True)
    async with asyncio.timeout(2.0):
        assert await reading == [(n, b"a%db" % n) for n in range(7)]


async def test_chunks_are_seen_at_once_and_the_same_object() -> None:
    server, chunk = make(), b"x" * 1000
    subscriber = server.subscribe("ch", NEXT)
    async with asyncio.timeout(2.0), server.publish("ch").segment() as write:
        waiting = asyncio.ensure_future(anext(subscriber))
        await asyncio.sleep(0)
        await write(chunk)
        segment = await waiting
        assert await anext(aiter(segment)) is chunk
        assert not segment.complete
    async with asyncio.timeout(2.0):
        assert await whole(segment) == b""
    assert segment.complete
    await subscriber.aclose()


async def test_a_late_reader_goes_to_the_edge() -> None:
    server = make()
    publisher = server.publish("ch")
    for number in range(9):
        await send(publisher, b"%d" % number)
    subscriber = server.subscribe("ch", 1)
    waiting = asyncio.ensure_future(anext(subscriber))
    await asyncio.sleep(0)
    await send(publisher, b"9")
    async with asyncio.timeout(2.0):
        assert (await waiting).seq == 9
    await subscriber.aclose()


async def test_a_late_post_makes_no_reader_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_runner_base.trickle.local.BEHIND_DELAY_S", 0.01)
    server = make()
    publisher, channel = server.publish("ch"), server._existing("ch")
    for number in range(4):
        await send(publisher, b"%d" % number)
    subscriber = server.subscribe("ch", 5)
    channel.write(1).finish(0.0)
    assert channel.next_write == 2
    waiting = asyncio.ensure_future(anext(subscriber))
    await asyncio.sleep(0.05)
    late = channel.write(5)
    late.append(b"5", 0.0)
    async with asyncio.timeout(2.0):
        assert (await waiting).seq == 5
    await subscriber.aclose()


async def test_an_overrun_reader_sees_an_incomplete_segment_and_then_the_edge() -> None:
    server = make(segment_bytes=1000, channel_bytes=1200)
    publisher, subscriber = server.publish("ch"), server.subscribe("ch")
    async with publisher.segment() as write:
        await write(b"a" * 500)
        async with asyncio.timeout(2.0):
            segment = await anext(subscriber)
            assert await anext(aiter(segment)) == b"a" * 500
        await send(publisher, b"b" * 900)
        async with asyncio.timeout(2.0):
            assert await whole(segment) == b""
            assert not segment.complete
            assert await whole(await anext(subscriber)) == b"b" * 900
    await subscriber.aclose()


async def test_a_hanging_segment_is_left_when_another_writer_has_gone_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ai_runner_base.trickle.local.OVERTAKEN_S", 0.02)
    server = make()
    subscriber = server.subscribe("ch")
    async with asyncio.timeout(2.0), server.publish("ch").segment() as write:
        await write(b"hang")
        segment = await anext(subscriber)
        waiting = asyncio.ensure_future(whole(segment))
        await asyncio.sleep(0.1)
        assert not waiting.done()  # nothing newer: it may still go on
        await send(server.publish("ch"), b"on")
        assert await waiting == b"hang"
        assert not segment.complete
        assert await whole(await anext(subscriber)) == b"on"
    await subscriber.aclose()


async def test_a_full_segment_says_no() -> None:
    server = make(segment_bytes=10, channel_bytes=100)
    async with server.publish("ch").segment() as write:
        assert await write(b"12345")
        assert not await write(b"1234567")


async def test_an_ended_channel_says_so() -> None:
    server = make()
    publisher, subscriber = server.publish("ch"), server.subscribe("ch")
    async with publisher.segment() as write:
        assert server.close("ch")
        assert not await write(b"x")
    with pytest.raises(PeerError, match="channel ch has ended"):
        await send(publisher, b"x")
    assert [segment async for segment in subscriber] == []
    await publisher.aclose(delete=True)
    assert not server.close("ch")


def test_names_and_missing_channels_are_explained() -> None:
    server = make()
    for name in ("", "a/b"):
        with pytest.raises(CallerError, match="one path part"):
            server.create(name)
    with pytest.raises(CallerError, match="no trickle channel 'nope'"):
        server.publish("nope")
    with pytest.raises(CallerError, match="no trickle channel 'nope'"):
        server.subscribe("nope")


async def test_the_list_of_channels_shows_what_is_held() -> None:
    server = make()
    await send(server.publish("ch"), b"12345")
    (info,) = server.channels()
    assert (info.name, info.mime, info.next_write) == ("ch", "text/plain", 1)
    assert (info.bytes_in, info.segments_started, info.segments_cut, info.segments_dropped) == (5, 1, 0, 0)
    assert info.held_bytes > 5


def test_the_sweep_follows_the_given_clock() -> None:
    now_s = 0.0
    server = TrickleServer(clock=lambda: now_s)
    server.create("ch")
    assert server.sweep() == []
    now_s = 300.1
    assert server.sweep() == ["ch"]
