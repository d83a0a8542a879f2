"""The server, request by request, over raw sockets: what is really sent, and when."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests._support.trickle import Answer, RawClient, Served, _no_leaked_tasks, serving, until, within  # noqa: F401

from ai_runner_base.trickle import Limits
from ai_runner_base.trickle.intake import CONTINUE
from ai_runner_base.trickle.segment import Segment

pytestmark = pytest.mark.process

CH = "/ai/trickle/ch"


async def ask(
    served: Served,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    async with RawClient.connect(served.port) as client:
        client.send(method, path, headers=headers, chunked=body is not None)
        if body is not None:
            if body:
                client.chunk(body)
            client.end()
        return await client.answer()


async def test_create_needs_autocreate_unless_the_channel_exists() -> None:
    async with serving() as served:
        answer = await ask(served, "POST", CH, headers={"Expect-Content": "video/mp2t"})
        assert (answer.status, answer.body) == (404, b"Stream not found\n")
        assert answer.headers["Content-Type"].startswith("text/plain")
        served.server.create("ch", "text/plain")
        assert (await ask(served, "POST", CH)).status == 200
    async with serving(autocreate=True) as served:
        assert (await ask(served, "POST", CH, headers={"Expect-Content": "video/mp2t"})).status == 200
        await ask(served, "POST", f"{CH}/0", headers={"Content-Type": "other"}, body=b"x")
        assert (await ask(served, "GET", f"{CH}/0")).headers["Content-Type"] == "video/mp2t"


async def test_a_post_may_create_the_channel_with_its_content_type() -> None:
    async with serving(autocreate=True) as served:
        answer = await ask(served, "POST", f"{CH}/0", headers={"Content-Type": "video/mp2t"}, body=b"x")
        assert (answer.status, answer.headers["Lp-Trickle-Seq"]) == (200, "0")
        assert (await ask(served, "GET", f"{CH}/0")).headers["Content-Type"] == "video/mp2t"


async def test_too_many_channels_are_refused_in_plain_text() -> None:
    async with serving(Limits(channels=1), autocreate=True) as served:
        assert (await ask(served, "POST", CH)).status == 200
        answer = await ask(served, "POST", "/ai/trickle/two")
        assert answer.status == 503
        assert b"1 channels are open" in answer.body


@pytest.mark.parametrize("slash", ["", "/"])
async def test_write_read_next_delete_with_and_without_a_trailing_slash(slash: str) -> None:
    async with serving() as served:
        served.server.create("ch", "text/plain")
        written = await ask(served, "POST", f"{CH}/0{slash}", body=b"hello")
        assert (written.status, written.headers["Lp-Trickle-Seq"]) == (200, "0")
        read = await ask(served, "GET", f"{CH}/0{slash}")
        assert (read.status, read.body) == (200, b"hello")
        assert read.headers["Lp-Trickle-Seq"] == "0"
        assert read.headers["Lp-Trickle-Latest"] == "1"
        assert read.headers["Content-Type"] == "text/plain"
        following = await ask(served, "GET", f"{CH}/next{slash}")
        assert (following.body, following.headers["Lp-Trickle-Latest"]) == (b"1", "1")
        assert (await ask(served, "DELETE", f"{CH}/0{slash}")).status == 200
        assert (await ask(served, "DELETE", f"{CH}{slash}")).status == 200
        gone = await ask(served, "DELETE", f"{CH}{slash}")
        assert (gone.status, gone.body) == (400, b"Invalid stream\n")


@pytest.mark.parametrize(
    ("method", "part", "status", "body"),
    [
        ("GET", "x", 400, b"Invalid idx\n"),
        ("GET", "-3", 400, b"Invalid idx\n"),
        ("GET", "1e3", 400, b"Invalid idx\n"),
        ("GET", "9" * 30, 400, b"Invalid idx\n"),
        ("POST", "x", 400, b"Invalid idx\n"),
        ("POST", "-2", 400, b"Invalid idx\n"),
        ("DELETE", "x", 400, b"Invalid idx\n"),
        ("DELETE", "3", 400, b"Nonexistent segment\n"),
        ("DELETE", "-1", 400, b"Nonexistent segment\n"),
        ("GET", "7", 470, b"Entry not found\n"),
    ],
)
async def test_refusals(method: str, part: str, status: int, body: bytes) -> None:
    async with serving() as served:
        served.server.create("ch")
        answer = await ask(served, method, f"{CH}/{part}", body=b"" if method == "POST" else None)
        assert (answer.status, answer.body) == (status, body)
        if status == 470:
            assert (answer.headers["Lp-Trickle-Latest"], answer.headers["Lp-Trickle-Seq"]) == ("0", "7")


@pytest.mark.parametrize(("method", "part"), [("GET", "0"), ("GET", "next"), ("POST", "0"), ("DELETE", "0")])
async def test_no_channel_is_404_and_wakes_a_pre_connected_post(method: str, part: str) -> None:
    async with serving() as served, RawClient.connect(served.port) as client:
        client.send(method, f"{CH}/{part}", chunked=method == "POST")
        answer = await client.answer()
        assert (answer.status, answer.body) == (404, b"Stream not found\n")
        if method == "POST":
            assert answer.headers["Connection"] == "close"
            async with within(2.0):
                assert await client.reader.read() == b""


async def test_headers_of_a_read_come_with_its_first_byte_and_chunks_as_they_are_written() -> None:
    async with serving() as served, RawClient.connect(served.port) as reader:
        served.server.create("ch", "text/plain")
        reader.send("GET", f"{CH}/-2")
        assert await reader.silent(0.15)
        async with RawClient.connect(served.port) as writer:
            writer.send("POST", f"{CH}/0", chunked=True)
            writer.chunk(b"one")
            status, headers = await reader.head()
            assert (status, headers["Lp-Trickle-Seq"]) == (200, "0")
            assert "Lp-Trickle-Latest" not in headers  # it was the next one when it was asked for
            assert await reader.next_chunk() == b"one"
            writer.chunk(b"two")
            assert await reader.next_chunk() == b"two"
            writer.end()
            assert await reader.next_chunk() == b""


async def test_a_silent_post_is_told_to_continue_again_and_again() -> None:
    async with serving(continue_interval_s=0.05) as served, RawClient.connect(served.port) as client:
        served.server.create("ch")
        client.send("POST", f"{CH}/0", chunked=True)
        async with within():
            assert await client.reader.readexactly(3 * len(CONTINUE)) == 3 * CONTINUE
        client.chunk(b"late")
        client.end()
        answer = await client.answer()
        assert answer.status == 200
        assert (await ask(served, "GET", f"{CH}/0")).body == b"late"


async def test_expect_100_continue_is_answered() -> None:
    async with serving() as served, RawClient.connect(served.port) as client:
        served.server.create("ch")
        client.send("POST", f"{CH}/0", headers={"Expect": "100-continue"}, chunked=True)
        assert (await client.head())[0] == 100
        client.chunk(b"x")
        client.end()
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("by", ["channel", "segment"])
async def test_a_pre_connected_post_is_answered_when_it_is_closed(by: str) -> None:
    async with serving() as served, RawClient.connect(served.port) as client:
        served.server.create("ch")
        client.send("POST", f"{CH}/0", chunked=True)
        assert await client.silent(0.05)
        await ask(served, "DELETE", CH if by == "channel" else f"{CH}/0")
        answer = await client.answer()
        assert (answer.status, answer.headers["Lp-Trickle-Seq"]) == (200, "0")
        assert answer.headers["Connection"] == "close"
        assert answer.headers.get("Lp-Trickle-Closed") == ("terminated" if by == "channel" else None)
        async with within(2.0):
            assert await client.reader.read() == b""
        if by == "segment":
            assert (await ask(served, "GET", f"{CH}/next")).body == b"1"


async def test_an_empty_post_is_an_empty_segment() -> None:
    async with serving() as served:
        served.server.create("ch")
        assert (await ask(served, "POST", f"{CH}/0", body=b"")).headers["Lp-Trickle-Seq"] == "0"
        answer = await ask(served, "GET", f"{CH}/0")
        assert (answer.status, answer.body) == (200, b"")
        assert (answer.headers["Lp-Trickle-Seq"], answer.headers["Lp-Trickle-Latest"]) == ("0", "1")
        assert "Lp-Trickle-Closed" not in answer.headers


async def test_posting_twice_appends_while_open_and_after_the_end() -> None:
    async with serving() as served, RawClient.connect(served.port) as first:
        served.server.create("ch")
        first.send("POST", f"{CH}/0", chunked=True)
        first.chunk(b"Hello")
        async with RawClient.connect(served.port) as reader:
            reader.send("GET", f"{CH}/0")
            await reader.head()
            assert await reader.next_chunk() == b"Hello"
            assert (await ask(served, "POST", f"{CH}/0", body=b"World")).status == 200
            assert await reader.next_chunk() == b"World"
            assert await reader.next_chunk() == b""
        first.end()
        await first.answer()
        assert (await ask(served, "POST", f"{CH}/0", body=b"!")).status == 200
        assert (await ask(served, "GET", f"{CH}/0")).body == b"HelloWorld!"


async def test_a_pre_connected_post_to_an_ended_segment_is_answered() -> None:
    async with serving() as served, RawClient.connect(served.port) as client:
        served.server.create("ch")
        await ask(served, "POST", f"{CH}/0", body=b"x")
        client.send("POST", f"{CH}/0", chunked=True)
        answer = await client.answer()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")


async def test_reset_frees_the_readers_of_a_hanging_segment() -> None:
    async with (
        serving() as served,
        RawClient.connect(served.port) as dead,
        RawClient.connect(served.port) as reader,
    ):
        served.server.create("ch")
        dead.send("POST", f"{CH}/0", chunked=True)
        dead.chunk(b"Hello")
        reader.send("GET", f"{CH}/0")
        await reader.head()
        assert await reader.next_chunk() == b"Hello"
        answer = await ask(served, "POST", f"{CH}/-1", headers={"Lp-Trickle-Reset": "yes"}, body=b"again")
        assert answer.headers["Lp-Trickle-Seq"] == "1"
        assert await reader.next_chunk() == b""
        assert (await ask(served, "GET", f"{CH}/0")).body == b"Hello"


async def test_closing_the_channel_ends_readers_and_lets_a_writer_finish() -> None:
    async with (
        serving() as served,
        RawClient.connect(served.port) as writer,
        RawClient.connect(served.port) as reading,
        RawClient.connect(served.port) as waiting,
    ):
        served.server.create("ch")
        writer.send("POST", f"{CH}/0", chunked=True)
        writer.chunk(b"x")
        reading.send("GET", f"{CH}/0")
        await reading.head()
        assert await reading.next_chunk() == b"x"
        waiting.send("GET", f"{CH}/1")
        assert await waiting.silent(0.05)
        assert (await ask(served, "DELETE", CH)).status == 200
        assert await reading.next_chunk() == b""
        ended = await waiting.answer()
        assert (ended.status, ended.body) == (200, b"")
        assert ended.headers["Lp-Trickle-Closed"] == "terminated"
        writer.chunk(b"more")
        writer.end()
        done = await writer.answer()
        assert (done.status, done.headers["Lp-Trickle-Closed"]) == (200, "terminated")
        assert (await ask(served, "GET", f"{CH}/0")).status == 404


async def test_a_writer_that_vanishes_ends_its_segment_and_its_readers() -> None:
    async with serving() as served, RawClient.connect(served.port) as reader:
        served.server.create("ch")
        async with RawClient.connect(served.port) as writer:
            writer.send("POST", f"{CH}/0", chunked=True)
            writer.chunk(b"half")
            reader.send("GET", f"{CH}/0")
            await reader.head()
            assert await reader.next_chunk() == b"half"
        assert await reader.next_chunk() == b""
        assert served.server.channels()[0].next_write == 1


async def test_rubbish_in_a_body_is_500_and_ends_the_segment() -> None:
    # aiohttp does not tell a handler that the framing broke: the idle limit does.
    async with (
        serving(body_idle_timeout_s=0.2) as served,
        RawClient.connect(served.port) as client,
    ):
        served.server.create("ch")
        client.send("POST", f"{CH}/0", chunked=True)
        client.chunk(b"good")
        await asyncio.sleep(0.05)
        client.writer.write(b"this is no chunk size\r\n")
        assert (await client.answer()).status == 500
        assert (await ask(served, "GET", f"{CH}/0")).body == b"good"


async def test_silence_in_the_middle_of_a_body_ends_the_segment() -> None:
    async with serving(body_idle_timeout_s=0.1) as served, RawClient.connect(served.port) as client:
        served.server.create("ch")
        client.send("POST", f"{CH}/0", chunked=True)
        client.chunk(b"half")
        answer = await client.answer()
        assert (answer.status, answer.body) == (500, b"Server error\n")
        assert (await ask(served, "GET", f"{CH}/0")).body == b"half"


async def test_a_segment_past_its_limit_is_refused_and_ended() -> None:
    async with serving(Limits(segment_bytes=1000, channel_bytes=2000)) as served:
        served.server.create("ch")
        async with RawClient.connect(served.port) as client:
            client.send("POST", f"{CH}/0", chunked=True)
            client.chunk(b"x" * 900)
            await asyncio.sleep(0.05)
            client.chunk(b"y" * 900)
            assert (await client.answer()).status == 413
        assert (await ask(served, "GET", f"{CH}/0")).body == b"x" * 900
        assert served.server.channels()[0].segments_cut == 1


async def test_a_body_larger_than_aiohttps_request_limit_streams_through() -> None:
    size = 5 * 1024 * 1024
    async with serving() as served:
        served.server.create("ch")
        answer = await ask(served, "POST", f"{CH}/0", body=bytes(size))
        assert answer.status == 200
        assert len((await ask(served, "GET", f"{CH}/0")).body) == size


async def test_several_readers_get_everything_and_a_stuck_one_hinders_nobody() -> None:
    payload, rounds = b"z" * 400_000, 40
    limits = Limits(segment_bytes=64 << 20, channel_bytes=64 << 20)
    async with (
        serving(limits, reader_stall_timeout_s=1.0) as served,
        RawClient.connect(served.port, receive_buffer_bytes=4096) as stuck,
        RawClient.connect(served.port) as writer,
    ):
        served.server.create("ch")
        stuck.send("GET", f"{CH}/0")  # never reads
        writer.send("POST", f"{CH}/0", chunked=True)

        async def count() -> int:
            return len((await ask(served, "GET", f"{CH}/0")).body)

        readers = [asyncio.create_task(count()) for _ in range(3)]
        for _ in range(rounds):
            writer.chunk(payload)
            async with within():
                await writer.writer.drain()
        writer.end()
        assert (await writer.answer()).status == 200
        async with within():
            assert await asyncio.gather(*readers) == [len(payload) * rounds] * 3
        segment = served.server._existing("ch").read(0)
        assert isinstance(segment, Segment)
        await until(lambda: not segment.watched)  # the stuck one was cut off
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stuck.answer()


async def test_a_reader_overrun_by_the_limit_is_cut_not_deceived() -> None:
    limits = Limits(segment_bytes=8_000_000, channel_bytes=9_000_000)
    async with (
        serving(limits, reader_stall_timeout_s=5.0) as served,
        RawClient.connect(served.port, receive_buffer_bytes=4096) as slow,
    ):
        served.server.create("ch")
        slow.send("GET", f"{CH}/0")
        for seq in range(3):
            await ask(served, "POST", f"{CH}/{seq}", body=bytes(7_900_000))
            assert served.server.channels()[0].held_bytes <= 9_000_000
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await slow.answer()
        assert served.server.channels()[0].segments_dropped == 2


async def test_waiting_readers_that_leave_are_forgotten() -> None:
    async with serving(departure_check_s=0.05) as served:
        served.server.create("ch")
        async with RawClient.connect(served.port) as client:
            client.send("GET", f"{CH}/0")
            assert await client.silent(0.05)
        segment = served.server._existing("ch").read(0)
        assert isinstance(segment, Segment)
        await until(lambda: not segment.watched)


async def test_shutdown_tells_readers_and_pre_connected_writers() -> None:
    async with serving() as served:
        served.server.create("ch")
        async with (
            RawClient.connect(served.port) as reader,
            RawClient.connect(served.port) as writer,
            RawClient.connect(served.port) as sending,
        ):
            sending.send("POST", f"{CH}/0", chunked=True)
            sending.chunk(b"x")
            reader.send("GET", f"{CH}/1")
            writer.send("POST", f"{CH}/1", chunked=True)
            assert await reader.silent(0.1)
            closing = asyncio.create_task(served.server.aclose())
            assert (await reader.answer()).headers["Lp-Trickle-Closed"] == "terminated"
            assert (await writer.answer()).headers["Lp-Trickle-Closed"] == "terminated"
            async with within(2.0):
                await closing
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await sending.answer()


async def test_the_sweep_runs_by_itself() -> None:
    async with serving(sweep_interval_s=0.05, idle_timeout_s=0.1) as served:
        served.server.create("ch")
        served.server.create("_internal")
        await until(lambda: len(served.server.channels()) == 1)
        assert served.server.channels()[0].name == "_internal"


async def test_connections_do_not_wait_to_fill_packets() -> None:
    async with serving() as served, RawClient.connect(served.port) as client:
        served.server.create("ch")
        client.send("GET", f"{CH}/0")
        assert await client.silent(0.05)
        protocols = [
            transport
            for transport in _server_transports()
            if transport.get_extra_info("sockname")[1] == served.port
        ]
        assert protocols
        for transport in protocols:
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def _server_transports() -> list[asyncio.Transport]:
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # no public list of sockets
    found = []
    for key in selector.get_map().values():
        reader, _ = key.data
        owner = getattr(getattr(reader, "_callback", None), "__self__", None)
        if isinstance(owner, asyncio.Transport):
            found.append(owner)
    return found
