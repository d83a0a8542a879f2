"""Events and control channels that go away and come back, at a real trickle server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from tests._support.trickle import FAST_CLIENT, SEQ, Request, Served, next_is, scripted, serving, until

from ai_runner_base.stream import _side_channels
from ai_runner_base.stream._side_channels import KEPT_MESSAGES, EventsChannel, follow_control
from ai_runner_base.trickle import JsonPublisher, JsonSubscriber, Publisher, Subscriber, client_session

pytestmark = pytest.mark.process

MIME = "application/json"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_side_channels, "REOPEN_AFTER_S", 0.1)
    monkeypatch.setattr(_side_channels, "RETRY_AFTER_S", 0.05)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


class Faults(Counter[str]):
    def add(self, kind: str) -> None:
        self[kind] += 1


def events_channel(http: aiohttp.ClientSession, served: Served, faults: Faults) -> EventsChannel:
    url = served.url("events")
    return EventsChannel(lambda: Publisher(http, url, MIME, options=FAST_CLIENT), faults.add)


async def received(http: aiohttp.ClientSession, served: Served, count: int) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = []
    async with JsonSubscriber(Subscriber(http, served.url("events"), 0, options=FAST_CLIENT)) as messages:
        async with asyncio.timeout(5):
            while len(bodies) < count:
                bodies.append(await anext(messages))
    return bodies


async def test_events_that_found_no_channel_are_sent_when_it_is_back(http: aiohttp.ClientSession) -> None:
    faults = Faults()
    async with serving() as served:
        events = events_channel(http, served, faults)
        for number in range(3):
            events.put({"n": number})
        await asyncio.sleep(0.3)
        served.server.create("events", MIME)
        assert [body["n"] for body in await received(http, served, 3)] == [0, 1, 2]
        assert faults == {"events_reopened": 1}
        await events.aclose()


async def test_only_so_many_wait_and_the_oldest_are_lost(http: aiohttp.ClientSession) -> None:
    faults = Faults()
    async with serving() as served:
        events = events_channel(http, served, faults)
        await asyncio.sleep(0.2)
        for number in range(KEPT_MESSAGES + 10):
            events.put({"n": number})
        await asyncio.sleep(0.2)
        assert 9 <= faults["events_lost"] <= 10
        async with asyncio.timeout(5):
            await events.aclose()


async def test_a_channel_that_is_ended_under_way_and_made_again(http: aiohttp.ClientSession) -> None:
    faults = Faults()
    async with serving() as served:
        served.server.create("events", MIME)
        events = events_channel(http, served, faults)
        events.put({"n": 0})
        await received(http, served, 1)
        served.server.close("events")
        await asyncio.sleep(0.2)
        events.put({"n": 1})
        await asyncio.sleep(0.3)
        served.server.create("events", MIME)
        await until(lambda: faults["events_reopened"])
        events.put({"n": 2})
        assert [body["n"] for body in await received(http, served, 2)][-1] == 2
        await events.aclose()
        assert not served.server.channels(), "the channel was not ended with the stream"


async def test_an_event_that_its_peer_did_not_take_is_sent_again_before_the_next_one(
    http: aiohttp.ClientSession,
) -> None:
    faults, taken = Faults(), list[bytes]()

    async def script(request: Request) -> None:
        if request.method == "DELETE":
            request.reply(200)
        elif not next_is(request, 0):
            body = await request.body()
            out_of_order = faults["events_retried"] < 2
            request.reply(503 if out_of_order else 200, {SEQ: request.part})
            taken.extend([] if out_of_order else [body])

    async with scripted(script) as (url, _):
        events = EventsChannel(lambda: Publisher(http, url, MIME, options=FAST_CLIENT), faults.add)
        for number in range(3):
            events.put({"n": number})
        await until(lambda: len(taken) == 3)
        await events.aclose()
    assert taken == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert faults == {"events_retried": 2}


async def test_an_event_that_its_peer_never_takes_does_not_keep_the_next_one_back(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_side_channels, "MAX_TRIES", 5)
    faults, taken = Faults(), list[bytes]()

    async def script(request: Request) -> None:
        if request.method == "DELETE":
            request.reply(200)
        elif not next_is(request, 0):
            body = await request.body()
            request.reply(413 if len(body) > 100 else 200, {SEQ: request.part})
            taken.extend([body] if len(body) <= 100 else [])

    async with scripted(script) as (url, _):
        events = EventsChannel(lambda: Publisher(http, url, MIME, options=FAST_CLIENT), faults.add)
        events.put({"text": "x" * 200})
        events.put({"n": 1})
        await until(lambda: taken)
        await events.aclose()
    assert taken == [b'{"n":1}']
    assert faults["events_lost"] == 1


async def test_control_is_followed_over_its_ends(http: aiohttp.ClientSession) -> None:
    faults, taken = Faults(), list[dict[str, Any]]()

    async def take(message: dict[str, Any]) -> None:
        taken.append(message)

    async with serving() as served:
        url = served.url("control")
        following = asyncio.create_task(
            follow_control(lambda: Subscriber(http, url, options=FAST_CLIENT), take, faults.add)
        )
        for number in range(2):
            served.server.create("control", MIME)
            async with JsonPublisher(Publisher(http, url, MIME, options=FAST_CLIENT)) as control:
                control.put({"n": number})
                await until(lambda number=number: {"n": number} in taken)
            served.server.close("control")
            await asyncio.sleep(0.3)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    assert taken == [{"n": 0}, {"n": 1}]
    assert faults == {"control_reopened": 1}
