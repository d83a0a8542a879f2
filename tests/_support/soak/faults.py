"""The misfortunes of a soak, each one done for real and through the front door."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil

from ai_runner_base.testing.live import RunnerProcess
from ai_runner_base.trickle import JsonPublisher, Publisher, client_session
from tests._support.soak.gateway import LOOP_S, TICKS, Judge, Sender, stalled_reader
from tests._support.soak.orchestrator import Orchestrator

FLOOD_S = 3.0
FLOOD_PER_S = 300
SHORT_OUTAGE_S = 2.5
SLOW_S = 11.0


@dataclass
class World:
    """All that a fault can be done to.

    :param stream: id of the stream
    """

    http: aiohttp.ClientSession
    runner: RunnerProcess
    stream: str
    sender: Sender
    judge: Judge
    inward: Orchestrator
    outward: Orchestrator
    flood_answers: dict[int, int] = field(default_factory=dict)
    _strikes: Any = field(default_factory=lambda: itertools.count(1))

    def worker(self) -> psutil.Process | None:
        for child in psutil.Process(self.runner.pid).children():
            with contextlib.suppress(psutil.Error):
                if "ai_runner_base.worker" in child.cmdline():
                    return child
        return None

    @property
    def params_path(self) -> str:
        return f"/streams/{self.stream}/params"

    async def patch(self, **params: Any) -> None:
        await self.runner.call(self.http, "PATCH", self.params_path, params)

    async def strike(self, act: str) -> None:
        await self.patch(act=act, strike=next(self._strikes))


@dataclass(frozen=True)
class Fault:
    """One kind of misfortune.

    :param event: what an event's type or message must contain; empty: nothing is to be told
    :param metrics: beginnings of kinds in ``ai_runner_faults_total``, of which one must grow; empty: none need
    """

    name: str
    inflict: Callable[[World], Awaitable[None]]
    event: str
    metrics: tuple[str, ...]


async def worker_killed(world: World) -> None:
    worker = world.worker()
    if worker is not None:
        worker.kill()


async def output_peer_gone(world: World) -> None:
    await world.outward.kill()
    await asyncio.sleep(SHORT_OUTAGE_S / 2)
    await world.outward.start(world.http)


async def input_peer_gone(world: World) -> None:
    await world.inward.kill()
    await asyncio.sleep(SHORT_OUTAGE_S / 2)
    await world.inward.start(world.http)


async def output_5xx(world: World) -> None:
    await world.outward.fault(world.http, "out", "error", SHORT_OUTAGE_S)
    await asyncio.sleep(SHORT_OUTAGE_S)


async def output_slow(world: World) -> None:
    """Nothing is read for so long that not only the kernel's buffers but the answers are missed."""
    await world.outward.fault(world.http, "out", "slow", SLOW_S)
    await asyncio.sleep(SLOW_S)


async def half_segment(world: World) -> None:
    world.sender.cut_segment = True


async def garbage_between(world: World) -> None:
    world.sender.garbage = "between"


async def garbage_instead(world: World) -> None:
    world.sender.garbage = "instead"


async def clock_forward(world: World) -> None:
    world.sender.jump_ticks = 3600 * TICKS


async def clock_back(world: World) -> None:
    world.judge.may_jump_back()
    world.sender.jump_ticks = -6 * LOOP_S * TICKS


async def events_gone(world: World) -> None:
    await world.outward.delete(world.http, "events")
    await asyncio.sleep(SHORT_OUTAGE_S)
    await world.outward.create(world.http, "events")


async def slow_reader(world: World) -> None:
    async with stalled_reader(world.outward.channel("out")):
        await asyncio.sleep(3.0)


async def parameter_flood(world: World) -> None:
    """Good and bad changes as fast as they are taken, by requests and by control messages."""
    control = Publisher(world.http, world.inward.channel("control"), "application/json")
    numbers, end_s = itertools.count(1), time.monotonic() + FLOOD_S

    async def request_changes(http: aiohttp.ClientSession) -> None:
        while time.monotonic() < end_s:
            number = next(numbers)
            changes = {"gain": "loud"} if number % 3 == 0 else {"gain": number}
            status = (await world.runner.call(http, "PATCH", world.params_path, changes))[0]
            world.flood_answers[status] = world.flood_answers.get(status, 0) + 1

    async def send_messages(messages: JsonPublisher) -> None:
        while time.monotonic() < end_s:
            number = next(numbers)
            messages.put({"gain": number, "nonsense": "x" * 40_000} if number % 3 == 0 else {"gain": number})
            await asyncio.sleep(1 / FLOOD_PER_S)

    async with JsonPublisher(control) as messages, client_session() as http:
        await asyncio.gather(send_messages(messages), *(request_changes(http) for _ in range(40)))


def _struck(act: str) -> Callable[[World], Awaitable[None]]:
    return lambda world: world.strike(act)


async def poison(world: World) -> None:
    """A parameter that ends every worker that gets it."""
    await world.patch(act="poison")


FAULTS: tuple[Fault, ...] = (
    Fault("worker killed", worker_killed, "restart:", ("worker_restart",)),
    Fault("half segment in", half_segment, "input: ", ("input_lost", "input_resync")),
    Fault("worker hung", _struck("hang"), "restart:", ("worker_restart",)),
    Fault("garbage between frames", garbage_between, "input: ", ("input_resync",)),
    Fault("worker out of memory", _struck("leak"), "restart:", ("worker_restart",)),
    Fault("output peer gone", output_peer_gone, "output: ", ("output_",)),
    Fault("worker segfault", _struck("segfault"), "restart:", ("worker_restart",)),
    Fault("output peer 5xx", output_5xx, "output: ", ("output_",)),
    Fault("pipeline raises", _struck("raise"), "taste", ("pipeline_error",)),
    Fault("garbage in a frame", garbage_instead, "input: ", ("input_lost", "input_resync")),
    Fault("parameter that kills", poison, "taken back", ("params_taken_back",)),
    Fault("clock jumps forward", clock_forward, "input: ", ("input_jump",)),
    Fault("clock jumps back", clock_back, "input: ", ("input_jump",)),
    Fault("input peer gone", input_peer_gone, "input: ", ("input_reconnect",)),
    Fault("parameter flood", parameter_flood, "fault: parameters: ", ("params_refused",)),
    Fault("output peer slow", output_slow, "output: ", ("output_",)),
    Fault("events channel gone", events_gone, "events: ", ("events_",)),
    Fault("slow reader", slow_reader, "", ()),
)


def seen_in_events(fault: Fault, events: list[dict], since_s: float) -> bool:
    told = (
        f"{event['type']}: {event.get('message', '')}" for event in events if event["received_s"] >= since_s
    )
    return any(fault.event in text for text in told)
