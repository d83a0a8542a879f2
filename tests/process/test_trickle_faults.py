"""The clients against peers that misbehave: a scripted server that answers byte by byte."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests._support.trickle import (  # noqa: F401
    FAST_CLIENT,
    LATEST,
    SEQ,
    Request,
    _no_leaked_tasks,
    next_is,
    scripted,
    serving,
    until,
    within,
)

from ai_runner_base.errors import PeerError
from ai_runner_base.trickle import ChannelEndedError, Publisher, Subscriber, client_session, short_url
from ai_runner_base.trickle.intake import CONTINUE

pytestmark = pytest.mark.process

CLOSED = "Lp-Trickle-Closed"
FOREVER_S = 60.0


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as made:
        yield made


async def read_all(subscriber: Subscriber) -> list[tuple[int, bytes, bool]]:
    got = []
    async with within(), subscriber:
        async for segment in subscriber:
            body = b"".join([chunk async for chunk in segment])
            got.append((segment.seq, body, segment.complete))
    return got


def ended(request: Request) -> None:
    request.reply(404, body=b"Stream not found")


# --- reading ---


async def test_a_reader_tolerates_many_provisional_answers(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if request.part != "0":
            return ended(request)
        request.writer.write(CONTINUE * 500)
        await asyncio.sleep(0.05)
        request.writer.write(CONTINUE * 3)
        return request.reply(200, {SEQ: "0"}, b"body")

    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 0, options=FAST_CLIENT)) == [(0, b"body", True)]


async def test_closed_ends_the_stream_even_with_status_200(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        request.reply(200, {SEQ: "0", CLOSED: "terminated"}, b"Entry not found")

    async with scripted(script) as (url, requests):
        assert await read_all(Subscriber(session, url, options=FAST_CLIENT)) == []
        assert [request.part for request in requests] == ["-2"]


async def test_470_moves_to_the_edge(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if request.part == "3":
            return request.reply(470, {SEQ: "3", LATEST: "9"})
        return request.reply(200, {SEQ: "9"}, b"edge") if request.part == "9" else ended(request)

    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 3, options=FAST_CLIENT)) == [(9, b"edge", True)]


async def test_470_behind_us_replays_nothing(session: aiohttp.ClientSession) -> None:
    """A late POST moved the counter back to 7; we wait for 9 instead of reading 7 and 8 again."""
    asked: list[str] = []

    async def script(request: Request) -> None:
        asked.append(request.part)
        if request.part == "9" and asked.count("9") < 4:
            return request.reply(470, {SEQ: "9", LATEST: "7"})
        return request.reply(200, {SEQ: "9"}, b"on") if request.part == "9" else ended(request)

    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 9, options=FAST_CLIENT)) == [(9, b"on", True)]
    assert asked == ["9"] * 4 + ["10"]


async def test_470_far_behind_us_twice_means_the_writer_started_again(session: aiohttp.ClientSession) -> None:
    asked: list[str] = []

    async def script(request: Request) -> None:
        asked.append(request.part)
        if request.part == "58":
            return request.reply(470, {SEQ: "58", LATEST: "1"})
        return request.reply(200, {SEQ: "0"}, b"new") if request.part == "-2" else ended(request)

    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 58, options=FAST_CLIENT)) == [(0, b"new", True)]
    assert asked == ["58", "58", "-2", "1"]


@pytest.mark.parametrize("failures", [5, 6])
async def test_five_failures_are_forgiven(session: aiohttp.ClientSession, failures: int) -> None:
    count = 0

    async def script(request: Request) -> None:
        nonlocal count
        count += 1
        if request.part == "0" and count <= failures:
            return request.reply(503, body=b"try\nlater")
        return request.reply(200, {SEQ: "0"}, b"x") if request.part == "0" else ended(request)

    async with scripted(script) as (url, _):
        reading = read_all(Subscriber(session, url, 0, options=FAST_CLIENT))
        if failures <= FAST_CLIENT.retries:
            assert await reading == [(0, b"x", True)]
        else:
            with pytest.raises(PeerError, match=rf"{short_url(url)}/0: HTTP 503 try later, 6 times"):
                await reading


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/ch"
        with pytest.raises(PeerError, match="Connect call failed"):
            await read_all(Subscriber(session, url, options=FAST_CLIENT))
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            with pytest.raises(PeerError, match=rf"{short_url(url)}/next"):
                await publisher.open()
            assert not isinstance(publisher.failed, ChannelEndedError)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\x01\x02 no http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 470 X\r\n\r\n",
    ],
)
async def test_rubbish_is_a_peer_error(session: aiohttp.ClientSession, rubbish: bytes) -> None:
    async def script(request: Request) -> None:
        request.writer.write(rubbish)
        request.writer.close()

    async with scripted(script) as (url, _):
        with pytest.raises(PeerError, match="6 times"):
            await read_all(Subscriber(session, url, options=FAST_CLIENT))


async def test_a_broken_segment_is_taken_up_where_it_broke(session: aiohttp.ClientSession) -> None:
    whole = bytes(range(256)) * 100
    broken = iter([10_000, 10_000, 20_123])

    async def script(request: Request) -> None:
        if request.part != "4":
            return ended(request)
        request.stream({SEQ: "4"})
        size = next(broken, None)
        request.chunk(whole[:size])
        if size is None:
            request.chunk(b"")
        else:
            await request.writer.drain()
            await asyncio.sleep(0.05)
            request.writer.close()
        return None

    async with scripted(script) as (url, _):
        subscriber = Subscriber(session, url, 4, options=FAST_CLIENT)
        assert await read_all(subscriber) == [(4, whole, True)]
        assert subscriber.resumed == 3


async def test_another_segment_under_the_same_number_is_not_joined(session: aiohttp.ClientSession) -> None:
    times = 0

    async def script(request: Request) -> None:
        nonlocal times
        if request.part != "0":
            return ended(request)
        times += 1
        request.stream({SEQ: "0"})
        request.chunk(b"old old old" if times == 1 else b"new and longer than before")
        if times > 1:
            request.chunk(b"")
        else:
            await asyncio.sleep(0.05)
            request.writer.close()
        return None

    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 0, options=FAST_CLIENT)) == [
            (0, b"old old old", False),
            (0, b"new and longer than before", True),
        ]


async def test_a_broken_segment_that_is_gone_ends_incomplete(session: aiohttp.ClientSession) -> None:
    gone = False

    async def script(request: Request) -> None:
        nonlocal gone
        if request.part == "0" and not gone:
            gone = True
            request.stream({SEQ: "0"})
            request.chunk(b"half")
            await asyncio.sleep(0.05)
            return request.writer.close()
        if request.part == "0":
            return request.reply(470, {SEQ: "0", LATEST: "3"})
        if request.part in "13":
            return request.reply(200, {SEQ: request.part}, b"next")
        return ended(request)

    async with scripted(script) as (url, _):
        assert (await read_all(Subscriber(session, url, 0, options=FAST_CLIENT)))[:2] == [
            (0, b"half", False),
            (1, b"next", True),
        ]


async def test_a_segment_that_breaks_for_ever_is_an_error(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if request.part != "0":
            await asyncio.sleep(FOREVER_S)
        request.stream({SEQ: "0"})
        request.chunk(b"half")
        await asyncio.sleep(0.01)
        request.writer.close()

    async with scripted(script) as (url, requests):
        with pytest.raises(PeerError, match="breaks again and again"):
            await read_all(Subscriber(session, url, 0, options=FAST_CLIENT))
        assert len([request for request in requests if request.part == "0"]) < 10


async def test_silence_in_a_segment_is_asked_about(session: aiohttp.ClientSession) -> None:
    times = 0

    async def script(request: Request) -> None:
        nonlocal times
        if request.part != "0":
            await asyncio.sleep(1.0)
            return ended(request)
        times += 1
        request.stream({SEQ: "0"})
        request.chunk(b"one ")
        if times == 1:
            await asyncio.sleep(FOREVER_S)
        request.chunk(b"two")
        return request.chunk(b"")

    options = replace(FAST_CLIENT, idle_timeout_s=0.2)
    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 0, options=options)) == [(0, b"one two", True)]


async def test_a_segment_that_never_ends_is_left_for_the_next(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if request.part == "0":
            request.stream({SEQ: "0"})
            request.chunk(b"hang")
            await asyncio.sleep(FOREVER_S)
        if request.part == "1":
            return request.reply(200, {SEQ: "1"}, b"on")
        return ended(request)

    options = replace(FAST_CLIENT, idle_timeout_s=30.0)
    async with scripted(script) as (url, _):
        assert await read_all(Subscriber(session, url, 0, options=options)) == [
            (0, b"hang", False),
            (1, b"on", True),
        ]


async def test_a_peer_that_sends_nothing_but_empty_segments_does_not_spin(
    session: aiohttp.ClientSession,
) -> None:
    async def script(request: Request) -> None:
        request.reply(200, {SEQ: request.part, LATEST: request.part})

    async with scripted(script) as (url, requests):
        options = replace(FAST_CLIENT, behind_delay_s=0.05)
        reading = asyncio.create_task(read_all(Subscriber(session, url, 0, options=options)))
        await asyncio.sleep(0.5)
        reading.cancel()
        await asyncio.wait({reading})
        assert len(requests) < 30


async def test_a_peer_that_always_moves_us_on_does_not_spin(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        request.reply(470, {SEQ: request.part, LATEST: str(int(request.part) + 1)})

    options = replace(FAST_CLIENT, behind_delay_s=0.05)
    async with scripted(script) as (url, requests):
        reading = asyncio.create_task(read_all(Subscriber(session, url, 0, options=options)))
        await asyncio.sleep(0.5)
        reading.cancel()
        await asyncio.wait({reading})
        assert len(requests) < 30


# --- writing ---


async def test_a_writer_tolerates_provisional_answers_and_sends_headers_at_once(
    session: aiohttp.ClientSession,
) -> None:
    bodies: dict[str, bytes] = {}

    async def script(request: Request) -> None:
        if not next_is(request, 0):
            request.writer.write(CONTINUE * 20)
            bodies[request.part] = await request.body()
            request.reply(200, {SEQ: request.part})

    async with scripted(script) as (url, requests):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            await publisher.open()
            await until(lambda: [request.part for request in requests] == ["next", "0"])
            async with publisher.segment() as write:
                await write(b"a")
                await write(b"b")
            await until(lambda: publisher.counters.segments_sent == 1)
        assert bodies == {"0": b"ab"}
        post = requests[1]
        assert (post.method, post.headers["Content-Type"]) == ("POST", "x/y")
        assert "Lp-Trickle-Reset" not in post.headers


async def test_a_restart_is_announced_once(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if not next_is(request, 17):
            await request.body()
            request.reply(200, {SEQ: request.part})

    async with scripted(script) as (url, requests):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            async with publisher.segment() as write:
                await write(b"a")
            await until(lambda: len(requests) == 3)
        assert [(r.part, "Lp-Trickle-Reset" in r.headers) for r in requests] == [
            ("next", False),
            ("17", True),
            ("18", False),
        ]


@pytest.mark.parametrize("fault", ["503", "reset"])
async def test_a_post_opened_in_vain_is_opened_again_when_it_is_needed(
    session: aiohttp.ClientSession, fault: str
) -> None:
    tries = 0
    bodies: list[bytes] = []

    async def script(request: Request) -> None:
        nonlocal tries
        if next_is(request, 0):
            return
        tries += request.part == "0"
        if request.part == "0" and tries == 1:
            if fault == "503":
                request.reply(503)
            request.writer.close()
            return
        bodies.append(await request.body())
        request.reply(200, {SEQ: request.part})

    async with scripted(script) as (url, _):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            await publisher.open()
            await until(lambda: tries == 1)
            await asyncio.sleep(0.1)
            assert tries == 1  # nobody hammers
            async with publisher.segment() as write:
                assert await write(b"kept")
            await until(lambda: publisher.counters.segments_sent == 1)
            assert publisher.counters.segments_failed == 0
        assert bodies == [b"kept"]


@pytest.mark.parametrize("refusals", [1, 2])
async def test_one_retry_when_no_byte_was_taken(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    async with serving() as served:
        served.server.create("ch")
        async with Publisher(session, served.url("ch"), "x/y", options=FAST_CLIENT, start=0) as publisher:
            ask, refused = publisher.peer.request, []

            async def refuse_some(method: str, part: str | int = "", **more: Any) -> aiohttp.ClientResponse:
                if part == 0 and len(refused) < refusals:
                    refused.append(part)
                    raise ConnectionRefusedError("test")
                return await ask(method, part, **more)

            monkeypatch.setattr(publisher.peer, "request", refuse_some)
            async with publisher.segment() as write:
                assert await write(b"kept")
            sent, failed = (1, 0) if refusals == 1 else (0, 1)
            await until(lambda: publisher.counters.segments_sent + publisher.counters.segments_failed)
            assert (publisher.counters.segments_sent, publisher.counters.segments_failed) == (sent, failed)


async def test_a_failed_segment_is_drained_ended_and_the_next_one_works(
    session: aiohttp.ClientSession,
) -> None:
    async def script(request: Request) -> None:
        if next_is(request, 0):
            return
        if request.method == "DELETE":
            request.reply(200)
        elif request.part == "0":
            await request.reader.readuntil(b"first")
            request.reply(500, body=b"disk full")
            request.writer.close()
        else:
            await request.body()
            request.reply(200, {SEQ: request.part})

    async with scripted(script) as (url, requests):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            async with within(), publisher.segment() as write:
                assert await write(b"first")
                await until(lambda: publisher.counters.segments_failed == 1)
                assert not await write(b"more" * 1000)
                assert not await write(b"lost")
            async with publisher.segment() as write:
                assert await write(b"fine")
            await until(lambda: publisher.counters.segments_sent == 1)
            await until(lambda: ("DELETE", "0") in [(r.method, r.part) for r in requests])
            assert publisher.failed is None
            assert publisher.counters.segments_failed == 1
            assert publisher.counters.bytes_dropped == len(b"more" * 1000) + len(b"lost")


async def test_an_answer_that_takes_long_is_counted_and_waited_for(session: aiohttp.ClientSession) -> None:
    answered = asyncio.Event()

    async def script(request: Request) -> None:
        if not next_is(request, 0):
            await request.body()
            if request.part == "0":
                await answered.wait()
            request.reply(500 if request.part == "1" else 200, {SEQ: request.part})

    async with scripted(script) as (url, _):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher, within():
            async with publisher.segment() as write:
                await write(b"slow")
            await until(lambda: publisher.segments_late == 1)
            answered.set()
            assert await write.delivered()
            async with publisher.segment() as write:
                await write(b"refused")
            assert not await write.delivered()
            async with publisher.segment() as write:
                await write(b"soon")
            assert await write.delivered()
        assert publisher.segments_late == 1


async def test_three_failures_in_a_row_are_the_end(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if not next_is(request, 0):
            request.reply(507, body=b"no room")
            request.writer.close()

    failures: list[PeerError] = []
    async with scripted(script) as (url, _):
        async with Publisher(
            session, url, "x/y", options=FAST_CLIENT, on_failed=failures.append
        ) as publisher:
            for number in range(3):
                async with publisher.segment() as write:
                    await write(b"x")
                await until(lambda number=number: publisher.counters.segments_failed > number)
            with pytest.raises(
                PeerError, match=rf"{short_url(url)}/2 failed: HTTP 507 no room, 3 segments in a row"
            ):
                async with publisher.segment():
                    pass
        assert failures == [publisher.failed]


async def test_a_peer_that_takes_nothing_never_blocks_for_long(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if not next_is(request, 0):
            request.writer.transport.pause_reading()  # type: ignore[attr-defined]  # sockets have it
            await asyncio.sleep(FOREVER_S)

    options = replace(FAST_CLIENT, buffer_bytes=100_000)
    async with scripted(script) as (url, _):
        publisher = Publisher(session, url, "x/y", options=options)
        block = bytes(50_000)
        async with within(), publisher.segment() as write:
            longest_s, accepted = 0.0, True
            while accepted:
                began_s = time.monotonic()
                accepted = await write(block)
                longest_s = max(longest_s, time.monotonic() - began_s)
            assert longest_s < options.write_timeout_s + 1.0
            began_s = time.monotonic()
            assert not await write(block)
            assert time.monotonic() - began_s < 0.1
        began_s = time.monotonic()
        await publisher.aclose()
        assert time.monotonic() - began_s < 3 * options.answer_timeout_s
        assert publisher.counters.segments_failed == 1


async def test_an_answer_that_never_comes_is_a_failure(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if not next_is(request, 0):
            await request.body()
            await asyncio.sleep(FOREVER_S)

    options = replace(FAST_CLIENT, answer_timeout_s=0.2)
    async with scripted(script) as (url, _), Publisher(session, url, "x/y", options=options) as publisher:
        async with publisher.segment() as write:
            await write(b"x")
        await until(lambda: publisher.counters.segments_failed == 1)


async def test_unanswered_segments_do_not_pile_up(session: aiohttp.ClientSession) -> None:
    open_posts = 0

    async def script(request: Request) -> None:
        nonlocal open_posts
        if next_is(request, 0):
            return None
        if request.method == "DELETE":
            return request.reply(200)
        open_posts += 1
        try:
            await request.body()
            await request.reader.read(1)
        finally:
            open_posts -= 1

    options = replace(FAST_CLIENT, write_timeout_s=0.05, answer_timeout_s=30.0, in_flight=2, failures=99)
    async with scripted(script) as (url, _):
        publisher = Publisher(session, url, "x/y", options=options)
        for _ in range(6):
            async with within(), publisher.segment() as write:
                await write(b"x")
        await until(lambda: open_posts <= 3)
        assert publisher.counters.segments_failed == 4
        for upload in publisher._uploads:
            upload.abort("test is over")
        await publisher.aclose()


async def test_an_answer_before_the_end_is_a_failure(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if not next_is(request, 0) and request.method == "POST":
            await request.reader.readuntil(b"first")
            request.reply(200, {SEQ: request.part})
            request.writer.close()

    async with scripted(script) as (url, _), Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
        async with publisher.segment() as write:
            await write(b"first")
            await until(lambda: publisher.counters.segments_failed == 1)
            assert not await write(b"second")


async def test_failures_in_a_row_are_an_end_only_when_they_last(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if not next_is(request, 0):
            request.reply(507, body=b"no room")
            request.writer.close()

    async def write_on(publisher: Publisher) -> None:
        while True:
            async with publisher.segment() as write:
                await write(b"x")
            assert not await write.delivered()

    options = replace(FAST_CLIENT, failures=2, outage_s=0.5)
    async with scripted(script) as (url, _), Publisher(session, url, "x/y", options=options) as publisher:
        begin_s = time.monotonic()
        with pytest.raises(PeerError, match="segments in a row"):
            await asyncio.wait_for(write_on(publisher), 5)
        assert time.monotonic() - begin_s >= 0.5
        assert publisher.counters.segments_failed > 2


async def test_an_old_peer_without_next_is_written_from_zero(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        if request.part == "next":
            return request.reply(400, body=b"Invalid idx")
        await request.body()
        return request.reply(200, {SEQ: request.part})

    async with scripted(script) as (url, _), Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
        async with publisher.segment() as write:
            assert await write(b"x")
            assert write.seq == 0


async def test_a_page_that_is_no_trickle_server_is_not_written_to(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        request.reply(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>")

    async with scripted(script) as (url, requests):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            with pytest.raises(PeerError, match="Welcome"):
                await publisher.open()
        assert {request.method for request in requests} == {"GET"}


async def test_next_is_asked_again_and_then_given_up(session: aiohttp.ClientSession) -> None:
    async def script(request: Request) -> None:
        request.reply(502, body=b"bad gateway")

    async with scripted(script) as (url, requests):
        async with Publisher(session, url, "x/y", options=FAST_CLIENT) as publisher:
            with pytest.raises(PeerError, match=rf"{short_url(url)}/next failed: HTTP 502 bad gateway"):
                await publisher.open()
        assert len(requests) == FAST_CLIENT.retries + 1


async def test_a_server_that_restarts_is_found_again(session: aiohttp.ClientSession) -> None:
    options = replace(FAST_CLIENT, retry_delay_s=0.2)
    async with serving() as served:
        served.server.create("ch")
        port, url = served.port, served.url("ch")
    # From here on it is down; the channel will be back with its counter at 0.
    async with Subscriber(session, url, 40, options=options) as subscriber:
        waiting = asyncio.ensure_future(anext(subscriber))
        await asyncio.sleep(0.3)
        async with serving(port=port) as served:
            served.server.create("ch")
            async with Publisher(session, url, "x/y", options=options) as publisher:
                async with publisher.segment() as write:
                    await write(b"back")
                    async with within():
                        segment = await waiting
                        assert await anext(aiter(segment)) == b"back"
