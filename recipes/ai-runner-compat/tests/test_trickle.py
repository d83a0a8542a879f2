"""Upstream's trickle clients against ai-runner-base's server, and the recipe's own check."""

import asyncio
import importlib.util
from pathlib import Path

import pytest
from aiohttp import web

import runner.live.trickle
from ai_runner_base.errors import PeerError
from ai_runner_base.trickle import TrickleServer
from runner.live.trickle import TricklePublisher, TrickleSubscriber


async def through_a_channel() -> list[tuple[int, bytes]]:
    app = web.Application()
    trickle = TrickleServer()
    trickle.create("a", "video/mp2t")
    trickle.attach(app)
    server = web.AppRunner(app)
    await server.setup()
    try:
        site = web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        host, port = server.addresses[0][:2]
        return await asyncio.wait_for(write_and_read(f"http://{host}:{port}/ai/trickle/a"), 20)
    finally:
        await server.cleanup()


async def write_and_read(url: str) -> list[tuple[int, bytes]]:
    got: list[tuple[int, bytes]] = []
    async with TricklePublisher(url, "video/mp2t") as publisher, TrickleSubscriber(url, 0) as subscriber:
        for data in (b"one", b"two" * 30_000):
            async with await publisher.next() as segment:
                await segment.write(data)
        for _ in range(2):
            segment = await subscriber.next()
            body = b""
            while chunk := await segment.read():
                assert len(chunk) <= 32 * 1024
                body += chunk
            got.append((segment.seq(), body))
        await publisher.close()
        assert await subscriber.next() is None
        assert subscriber.errored
        with pytest.raises(PeerError):
            await publisher.next()
    return got


def test_segments_go_through_a_channel_until_it_ends():
    assert asyncio.run(through_a_channel()) == [(0, b"one"), (1, b"two" * 30_000)]


def test_an_unknown_name_is_an_error_of_attributes():
    with pytest.raises(AttributeError, match="run_subscribe"):
        _ = runner.live.trickle.run_subscribe


def test_the_recipes_check_passes_here_too():
    path = Path(__file__).with_name("push_frames.py")
    spec = importlib.util.spec_from_file_location("push_frames", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert asyncio.run(module.push_frames()) is None
