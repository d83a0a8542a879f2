"""Frames through real workers: right content, right order, right time, nothing torn."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests._support.prefixes import make_prefix
from tests._support.workers import TIME_BASE, Driver, running, spec_of
from tests.pipelines.per_value.sample_per_value import ACTS

from ai_runner_base.errors import CapacityError
from ai_runner_base.supervisor import Stamps, SupervisorOptions
from ai_runner_base.wire import WireError

pytestmark = pytest.mark.process

SAMPLES = [
    "echo",
    "queued",
    "coroutine",
    "per_value",
    "wrong_id",
    "hoards",
    "get_raises",
    "slow_queue",
    "batches",
    "own_time",
]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prefix(tmp_path_factory.mktemp("frames"), SAMPLES)


async def test_a_frame_comes_back_with_its_time_and_stamps(prefix: Path) -> None:
    async with running(prefix, "echo") as driver:
        assert driver.session is not None
        slot = driver.session.acquire(48, 20)
        assert slot is not None
        expected = np.arange(48 * 20 * 3, dtype=np.uint8).reshape(20, 48, 3)
        slot.array[:] = expected
        seq = driver.session.commit(slot, -7, Fraction(1001, 30_000), Stamps(received_ns=11, decoded_ns=12))
        output, picture = await driver.next()
        assert (picture == expected).all()
        assert (output.pts, output.time_base, output.seq) == (-7, Fraction(1001, 30_000), seq)
        assert output.stamps[:2] == (11, 12)
        assert list(output.stamps[2:]) == sorted(output.stamps[2:])
        assert output.stamps.committed_ns > 0


@pytest.mark.parametrize("name", ["echo", "queued", "coroutine"])
async def test_lossless_gives_every_frame_back_in_order(prefix: Path, name: str) -> None:
    """More frames than slots, from another thread, with content that tells frames apart."""
    async with running(prefix, name, session=False) as driver:
        session = driver.open(lossless=True)

        def produce() -> None:
            for index in range(300):
                slot = session.acquire(40, 30, timeout_s=20)
                assert slot is not None
                slot.array[:] = index % 251
                slot.array[-1, -1] = 255 - index % 251
                session.commit(slot, index, TIME_BASE)

        await asyncio.to_thread(produce)
        assert await session.drain(10)
        for index in range(300):
            output, picture = driver.outputs.get_nowait()
            values = (index % 251, 255 - index % 251)
            first, last = values if name != "coroutine" else (255 - values[0], 255 - values[1])
            assert output.pts == index
            assert (picture[:-1] == first).all()
            assert (picture[-1, -1] == last).all()
        assert session.counters.answered == session.counters.returned == session.counters.committed == 300


@pytest.mark.parametrize("name", ["echo", "queued"])
async def test_newest_wins_without_torn_frames_and_the_last_one_arrives(prefix: Path, name: str) -> None:
    """A producer that never waits: pictures are whole, in order, and the last is always delivered."""
    async with running(prefix, name) as driver:
        session = driver.session
        assert session is not None

        def produce() -> int:
            last = -1
            for index in range(2000):
                slot = session.acquire(96, 64)
                if slot is not None:
                    slot.array[:] = index % 251
                    session.commit(slot, index, TIME_BASE)
                    last = index
            return last

        last = await asyncio.to_thread(produce)
        assert await session.drain(10)
        seen = []
        while not driver.outputs.empty():
            output, picture = driver.outputs.get_nowait()
            assert (picture == output.pts % 251).all()
            seen.append(output.pts)
        counters = session.counters
        assert seen == sorted(set(seen))
        assert seen[-1] == last
        assert counters.replaced > 0
        assert counters.committed == counters.replaced + counters.answered
        assert counters.returned == len(seen)


async def test_a_slow_consumer_holds_back_the_pipeline_not_the_producer(prefix: Path) -> None:
    """With every output slot held, new frames replace the waiting one; letting go delivers the newest."""
    async with running(prefix, "echo") as driver:
        session = driver.session
        assert session is not None
        driver.hold = True
        for index in range(4):
            await driver.through(index, index)
        for index in range(4, 20):
            driver.give(index, index)
            await asyncio.sleep(0.005)
        assert driver.outputs.empty()
        driver.hold = False
        for output in driver.held:
            output.release()
            output.release()
        assert await session.drain(5)
        last = [driver.outputs.get_nowait()[0].pts for _ in range(driver.outputs.qsize())]
        assert last[-1] == 19
        assert session.counters.replaced >= 13


async def test_frames_of_any_size_that_fits(prefix: Path) -> None:
    async with running(prefix, "echo", SupervisorOptions(max_frame_bytes=640 * 480 * 3)) as driver:
        for index, size in enumerate([(640, 480), (1, 1), (3, 333), (480, 640), (64, 64)]):
            assert (await driver.through(index, index, size)).shape == (size[1], size[0], 3)
        assert driver.session is not None
        with pytest.raises(ValueError, match="cannot hold 641x480"):
            driver.session.acquire(641, 480)
        assert (await driver.through(9, 9)).mean() == 9


async def test_several_outputs_and_none(prefix: Path) -> None:
    async with running(prefix, "queued") as driver:
        await driver.supervisor.update_params({"copies": 3, "skip": 2})
        assert driver.session is not None
        for index in range(4):
            driver.give(index, index)
            if index % 2 == 0:
                assert [(await driver.next())[0].pts for _ in range(3)] == [index] * 3
            else:
                await asyncio.sleep(0.05)
        driver.give(4, 4)
        outputs = [(await driver.next())[0] for _ in range(3)]
        assert len({output.seq for output in outputs}) == 1
        assert all(output.stamps.committed_ns for output in outputs)
        counters = driver.session.counters
        assert (counters.answered, counters.unanswered, counters.returned) == (3, 2, 9)


async def test_a_pipeline_that_keeps_a_frame_back_ends_the_drain_not_the_stream(prefix: Path) -> None:
    async with running(prefix, "queued") as driver:
        await driver.supervisor.update_params({"skip": 1})
        driver.give(1, 1)
        assert driver.session is not None
        assert not await driver.session.drain(0.2)


async def test_a_pipeline_with_a_queue_of_its_own_still_shows_new_pictures(prefix: Path) -> None:
    """It would take a hundred frames at once and be two seconds behind; it is given a few."""
    async with running(prefix, "slow_queue") as driver:
        session = driver.session
        assert session is not None
        for index in range(100):
            driver.give(index, index)
            await asyncio.sleep(0.005)
        await driver.until(lambda: session.counters.replaced + session.counters.answered == 100)
        assert session.counters.replaced > 40
        delays_s = []
        while not driver.outputs.empty():
            output, picture = driver.outputs.get_nowait()
            assert (picture == output.pts).all()
            delays_s.append((output.stamps.returned_ns - output.stamps.committed_ns) / 1e9)
        assert max(delays_s) < 1.0


async def test_a_pipeline_may_invent_its_own_time(prefix: Path) -> None:
    async with running(prefix, "own_time") as driver:
        start_s = time.monotonic()
        for index in range(1, 41):
            driver.give(index, 5000 + index)
            output, picture = await driver.next()
            assert (output.pts, output.time_base, output.seq) == (index, Fraction(1, 7), 0)
            assert picture.mean() == index
        assert time.monotonic() - start_s < 5


async def test_a_pipeline_that_batches_is_given_what_it_needs(prefix: Path) -> None:
    """Ten are more than it is given at first; it is not left waiting for the rest, and is not made to wait again."""
    async with running(prefix, "batches", session=False) as driver:
        session = driver.open(lossless=True)

        def produce() -> None:
            for index in range(100):
                slot = session.acquire(16, 16, timeout_s=20)
                assert slot is not None
                slot.array[:] = index
                session.commit(slot, index, TIME_BASE)

        start_s = time.monotonic()
        await asyncio.to_thread(produce)
        assert await session.drain(10)
        assert time.monotonic() - start_s < 10
        times = [driver.outputs.get_nowait()[0].pts for _ in range(100)]
        assert times == list(range(100))


async def test_outputs_of_another_request_are_dropped(prefix: Path) -> None:
    async with running(prefix, "wrong_id") as driver:
        for index in range(1, 6):
            assert (await driver.through(index, index)).mean() == index
        assert driver.outputs.empty()


async def test_pictures_that_a_pipeline_keeps_never_change(prefix: Path) -> None:
    """It sums what it kept: were a slot written again, the sum would be wrong."""
    async with running(prefix, "hoards") as driver:
        values = [7, 100, 3, 250, 31, 8, 99, 4, 1, 17]
        for index, value in enumerate(values):
            assert (await driver.through(value, index)).mean() == sum(values[: index + 1]) % 251


async def test_a_new_session_starts_clean(prefix: Path) -> None:
    async with running(prefix, "per_value") as driver:
        first = driver.session
        assert first is not None
        await driver.through(0, 0)
        driver.give(ACTS["slow"], 1)
        driver.give(0, 2)
        slot = first.acquire(32, 16)
        assert slot is not None
        with pytest.raises(CapacityError, match="has a stream already"):
            driver.open("other")
        first.close()
        first.close()
        second = driver.open("other")
        assert first.acquire(32, 16) is None
        assert not first.ready
        first.commit(slot, 3, TIME_BASE)
        assert (await driver.through(0, 100)).mean() == 0
        assert driver.outputs.empty()
        assert (first.counters.committed, first.counters.lost) == (4, 3)
        assert second.counters.returned == 1


async def test_closing_wakes_a_lossless_writer(prefix: Path) -> None:
    async with running(prefix, "echo", session=False) as driver:
        session = driver.open(lossless=True)
        driver.hold = True
        taken = [session.acquire(8, 8, timeout_s=5) for _ in range(4)]
        assert None not in taken
        start_s = time.monotonic()
        assert session.acquire(8, 8, timeout_s=0.1) is None
        assert 0.1 <= time.monotonic() - start_s < 2
        waiting = asyncio.create_task(asyncio.to_thread(session.acquire, 8, 8))
        await asyncio.sleep(0.05)
        session.close()
        assert await asyncio.wait_for(waiting, 5) is None


async def test_an_abandoned_slot_is_free_again(prefix: Path) -> None:
    async with running(prefix, "echo") as driver:
        assert driver.session is not None
        for _ in range(20):
            slot = driver.session.acquire(32, 16)
            assert slot is not None
            driver.session.abandon(slot)
        slot = driver.session.acquire(32, 16)
        assert slot is not None
        with pytest.raises(WireError, match="pts"):
            driver.session.commit(slot, 2**63, TIME_BASE)
        assert (await driver.through(5, 5)).mean() == 5


RESULTS = {
    "floats": (lambda picture: (picture == 128).all() and picture.shape == (16, 32, 3)),
    "not_numbers": (lambda picture: (picture == 0).all()),
}


@pytest.mark.parametrize("act", RESULTS)
async def test_float_results_are_converted(prefix: Path, act: str) -> None:
    async with running(prefix, "per_value") as driver:
        assert RESULTS[act](await driver.through(ACTS[act], 1))


async def test_the_time_is_that_of_the_frame_that_came_back(prefix: Path) -> None:
    async with running(prefix, "per_value") as driver:
        driver.give(ACTS["other_time"], 5)
        assert (await driver.next())[0].pts == 1005


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        ("raises", "ValueError: this frame is not to my taste"),
        ("huge", "cannot hold 10000x10000"),
        ("integers", "got (16, 32, 3) int64"),
        ("nothing", "transform returned None"),
        ("no_time", "is not a time in 64 bits"),
    ],
)
async def test_a_bad_answer_is_reported_and_the_stream_goes_on(
    prefix: Path, act: str, complaint: str
) -> None:
    async with running(prefix, "per_value") as driver:
        assert driver.session is not None
        driver.give(ACTS[act], 1)
        assert await driver.session.drain(5)
        assert (await driver.through(0, 2)).mean() == 0
        (error,) = await driver.until(lambda: driver.errors)
        assert complaint in error
        assert driver.session.counters.unanswered == 1
        assert driver.supervisor.restart_count == 0


async def test_errors_come_at_a_rate_that_can_be_read(prefix: Path) -> None:
    async with running(prefix, "per_value", session=False) as driver:
        session = driver.open(lossless=True)

        def produce() -> None:
            for index in range(200):
                slot = session.acquire(32, 16, timeout_s=10)
                assert slot is not None
                slot.array[:] = ACTS["raises"]
                session.commit(slot, index, TIME_BASE)

        await asyncio.to_thread(produce)
        assert await session.drain(5)
        assert session.counters.unanswered == 200
        assert 1 <= len(driver.errors) < 100


async def test_a_getter_that_raises_at_once_does_not_starve_the_worker(prefix: Path) -> None:
    async with running(prefix, "get_raises") as driver:
        await driver.until(lambda: "RuntimeError: nothing to get" in driver.errors)
        start_s = time.monotonic()
        await driver.supervisor.update_params({})
        assert time.monotonic() - start_s < 2


async def test_a_session_may_be_opened_before_the_worker_is_ready(prefix: Path) -> None:
    driver = Driver(spec_of(prefix, "echo"))
    try:
        session = driver.open()
        assert not session.ready
        assert session.acquire(8, 8) is None
        await driver.supervisor.start()
        await driver.supervisor.wait_ready(30)
        assert session.ready
        assert (await driver.through(3, 3)).mean() == 3
    finally:
        await driver.supervisor.aclose()
