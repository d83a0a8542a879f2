"""One stream, 512x512 at 24 fps with sound, through a runner that meets a fault every few seconds.

The runner is a process of its own, a client of two orchestrators (processes, too) over HTTP: one serves the input and
the control channel, the other takes output and events. The sender's clip carries its number in every picture; whatever
comes out is compared with it, PTS by PTS.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import psutil

from ai_runner_base.testing.live import RunnerProcess, runner
from ai_runner_base.trickle import client_session
from tests._support.prefixes import make_prefix
from tests._support.soak.faults import Fault, World, seen_in_events
from tests._support.soak.gateway import Judge, Sender, clip, collect_events, view
from tests._support.soak.orchestrator import Orchestrator, orchestrators
from tests._support.soak.report import (
    MEASURES,
    MIB,
    MIN_SAMPLES,
    Met,
    Report,
    Sample,
    find_problems,
    trend_of,
)

SIZE = {"width": 512, "height": 512}
SAMPLE_EVERY_S = 2.0
SETTLED_S = 4.0
"""A process is sampled from this age on; also how old the news of a fault may be at most."""
FLOWING = 12
"""Processed pictures within a second that mean: it runs again."""
RECOVERY_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0


async def soak(
    faults: Sequence[Fault], minutes: float, every_s: float, *, finale: bool
) -> tuple[Report, list[str]]:
    """Run it.

    :returns: the report and the runner's log
    """
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        prefix = make_prefix(Path(folder), ["calamities"])
        arguments = ("--pipeline", "calamities", "--environments", str(prefix))
        async with (
            client_session() as http,
            orchestrators(http) as (inward, outward),
            runner(*arguments) as run,
        ):
            try:
                await run.wait_health(http, "IDLE")
                await _carry(http, run, inward, outward, report, faults, minutes, every_s, finale=finale)
            except TimeoutError:
                report.problems.append("a wait of the soak itself ran out; see the traceback in its log")
                run.lines.append(traceback.format_exc())
            finally:
                await _stop(run, report)
    report.problems += find_problems(report, finale=finale)
    return report, run.lines


async def _carry(
    http: aiohttp.ClientSession,
    run: RunnerProcess,
    inward: Orchestrator,
    outward: Orchestrator,
    report: Report,
    faults: Sequence[Fault],
    minutes: float,
    every_s: float,
    *,
    finale: bool,
) -> None:
    judge, events, samples = Judge(), list[dict](), {"runner": list[Sample](), "worker": list[Sample]()}
    sender = Sender(http, inward.channel("in"), clip())
    stream = await _start(http, run, inward, outward)
    world = World(http, run, stream, sender, judge, inward, outward)
    async with _tasks(
        sender.run(),
        view(http, outward.channel("out"), judge),
        collect_events(http, outward.channel("events"), events),
        _sample(world, samples),
    ):
        if not await _flowing(judge):
            raise SystemExit("no picture came through before any fault: " + "; ".join(run.lines[-3:]))
        await asyncio.sleep(SETTLED_S)
        begin_s = time.monotonic()
        for number, fault in enumerate(itertools.cycle(faults)):
            if time.monotonic() - begin_s > minutes * 60 and number >= len(faults):
                break
            report.faults.append(await _meet(world, fault, events, begin_s, every_s))
            report.machine_loads.append(os.getloadavg()[0])
            if not report.faults[-1].recovered:
                break
        report.seconds = time.monotonic() - begin_s
        status, answer = await run.call(http, "GET", f"/streams/{stream}")
        report.state = answer["state"] if status == 200 else ""
        report.up_at_the_end = status == 200 and await _flowing(judge)
        metrics = await _metrics(world)
        report.restarts = round(metrics.get('ai_runner_worker_restarts_total{pipeline="calamities"}', 0))
        if finale:
            await _long_outage(world, report)
    report.sent, report.shown, report.waiting = sender.sent, judge.shown, judge.waiting
    report.processed, report.wrong = len(judge.processed_s), judge.wrong
    report.out_of_order, report.flood_answers = judge.out_of_order, world.flood_answers
    for process, taken in samples.items():
        if len(taken) >= MIN_SAMPLES:
            names = MEASURES if process == "runner" else MEASURES[:-1]
            report.trends[process] = {name: trend_of(taken, name) for name in names}


async def _start(
    http: aiohttp.ClientSession, run: RunnerProcess, inward: Orchestrator, outward: Orchestrator
) -> str:
    body = {
        "subscribe_url": inward.channel("in"),
        "control_url": inward.channel("control"),
        "publish_url": outward.channel("out"),
        "events_url": outward.channel("events"),
        "params": SIZE,
    }
    status, answer = await run.call(http, "POST", "/live-video-to-video", body)
    if status != 200:
        raise SystemExit(f"the runner refused: {answer}")
    return str(answer["request_id"])


@contextlib.asynccontextmanager
async def _tasks(*jobs) -> AsyncIterator[None]:
    """Run jobs beside a block; one that fails ends the soak at its end."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
        failed = [task.exception() for task in tasks if task.done()]
        if failed:
            raise RuntimeError(f"a part of the soak itself failed: {failed}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _flowing(judge: Judge) -> bool:
    """Wait until processed pictures come again.

    :returns: whether they did in time
    """
    end_s = time.monotonic() + RECOVERY_LIMIT_S
    while time.monotonic() < end_s:
        if sum(at > time.monotonic() - 1 for at in judge.processed_s[-2 * FLOWING :]) >= FLOWING:
            return True
        await asyncio.sleep(0.1)
    return False


async def _meet(world: World, fault: Fault, events: list[dict], begin_s: float, every_s: float) -> Met:
    before, at_s = await _metrics(world), time.monotonic()
    await fault.inflict(world)
    await asyncio.sleep(min(2.0, every_s))
    recovered = await _flowing(world.judge)
    await asyncio.sleep(max(0.0, at_s + every_s - time.monotonic()))
    in_events = in_metrics = False
    news_s = time.monotonic() + SETTLED_S
    while not (in_events and in_metrics) and time.monotonic() < news_s:
        in_events = not fault.event or seen_in_events(fault, events, at_s)
        in_metrics = not fault.metrics or _grown(fault, before, await _metrics(world))
        await asyncio.sleep(0.2)
    gap_s = world.judge.longest_gap_s(at_s, time.monotonic())
    return Met(fault.name, at_s - begin_s, gap_s, recovered, in_events, in_metrics)


def _grown(fault: Fault, before: dict[str, float], after: dict[str, float]) -> bool:
    return any(
        value > before.get(name, 0.0)
        for name, value in after.items()
        if name.startswith("ai_runner_faults_total")
        and any(f'kind="{kind}' in name for kind in fault.metrics)
    )


async def _metrics(world: World) -> dict[str, float]:
    async with world.http.get(f"{world.runner.url}/metrics") as answer:
        found = re.findall(r"^(\w+(?:{[^}]*})?) (\S+)$", await answer.text(), re.M)
    return {name: float(value) for name, value in found}


async def _sample(world: World, samples: dict[str, list[Sample]]) -> None:
    """Look at both processes for ever."""
    begin_s = time.monotonic()
    while True:
        await asyncio.sleep(SAMPLE_EVERY_S)
        tasks = (await _metrics(world)).get("ai_runner_event_loop_tasks", 0.0)
        both = {"runner": psutil.Process(world.runner.pid), "worker": world.worker()}
        for name, process in both.items():
            with contextlib.suppress(psutil.Error):
                if process is not None and time.time() - process.create_time() > SETTLED_S:
                    samples[name].append(_look(process, time.monotonic() - begin_s, round(tasks)))


def _look(process: psutil.Process, at_s: float, tasks: int) -> Sample:
    with process.oneshot():
        memory = process.memory_info().rss / MIB
        return Sample(at_s, memory, process.num_fds(), process.num_threads(), tasks)


async def _long_outage(world: World, report: Report) -> None:
    """The output peer goes for good: the stream ends and says why; another one, elsewhere, works."""
    http, run = world.http, world.runner
    await world.outward.kill()
    async with asyncio.timeout(90):
        while (await run.call(http, "GET", f"/streams/{world.stream}"))[0] == 200:
            await asyncio.sleep(0.2)
    ended = (await run.call(http, "GET", "/streams"))[1]["ended"]
    report.long_outage_reason = next(one["end_reason"] for one in ended if one["id"] == world.stream)
    await world.outward.start(http)
    await run.wait_health(http, "IDLE")
    before = len(world.judge.processed_s)
    await _start(http, run, world.inward, world.outward)
    await _flowing(world.judge)
    report.next_stream_frames = len(world.judge.processed_s) - before


async def _stop(run: RunnerProcess, report: Report) -> None:
    """Stop it as a service manager does, and look for what is left."""
    family = psutil.Process(run.pid).children(recursive=True) if run.process.returncode is None else []
    begin_s = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        run.process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_LIMIT_S):
            report.exit_code = await run.process.wait()
    report.stop_s = time.monotonic() - begin_s
    report.processes_left = [str(one) for one in family if _is_alive(one)]


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
