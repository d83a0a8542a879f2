"""Who gets a worker: fixed seats, seats on demand, and the words of refusal."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ai_runner_base.errors import CallerError, CapacityError
from ai_runner_base.stream import OnDemand, Pool, Seat
from ai_runner_base.supervisor import Supervisor, WorkerState

pytestmark = pytest.mark.unit


class Worker:
    """Stands in for a supervisor at the edge: the pool only starts, closes and looks."""

    def __init__(self, state: WorkerState = WorkerState.READY) -> None:
        self.state = state
        self.closed = False

    async def start(self) -> None:
        self.state = WorkerState.STARTING

    async def aclose(self) -> None:
        self.closed, self.state = True, WorkerState.STOPPED


def seat(name: str, state: WorkerState = WorkerState.READY) -> Seat:
    return Seat(name, cast(Supervisor, Worker(state)))


def pool(*seats: Seat, limit: int = 0, names: tuple[str, ...] = ()) -> Pool:
    return Pool(seats, OnDemand(limit, names, lambda name: seat(name, WorkerState.STOPPED)))


async def test_no_name_means_the_first_pipeline_and_a_ready_worker_goes_first() -> None:
    loading, ready = seat("a", WorkerState.LOADING), seat("a")
    assert await pool(loading, ready, seat("b")).take("", "s1") is ready


async def test_all_busy_is_said_in_the_words_that_orchestrators_know() -> None:
    workers = pool(seat("a"), seat("b"))
    await workers.take("a", "s1")
    with pytest.raises(CapacityError, match="insufficient capacity"):
        await workers.take("a", "s2")
    assert (await workers.take("b", "s3")).name == "b"


async def test_an_unknown_pipeline_is_the_callers_fault_and_the_nearest_is_named() -> None:
    with pytest.raises(CallerError, match="did you mean 'effects'"):
        await pool(seat("effects")).take("effect", "s1")


async def test_a_failed_worker_is_tried_again_when_it_is_wanted() -> None:
    failed = seat("a", WorkerState.FAILED)
    assert await pool(failed).take("a", "s1") is failed
    assert failed.supervisor.state is WorkerState.STARTING


async def test_a_pipeline_without_a_worker_gets_one_on_demand_up_to_the_limit() -> None:
    workers = pool(seat("a"), limit=1, names=("a", "b", "c"))
    assert workers.offered == ["a", "b", "c"]
    first = await workers.take("b", "s1")
    assert (first.on_demand, first.supervisor.state) == (True, WorkerState.STARTING)
    with pytest.raises(CapacityError):
        await workers.take("c", "s2")
    with pytest.raises(CapacityError):
        await workers.take("b", "s2")


async def test_an_idle_worker_on_demand_stays_warm_and_then_makes_room() -> None:
    workers = pool(seat("a"), limit=1, names=("b", "c"))
    first = await workers.take("b", "s1")
    first.taken_by = None
    assert await workers.take("b", "s2") is first
    first.taken_by = None
    other = await workers.take("c", "s3")
    assert other is not first
    assert cast(Any, first.supervisor).closed
    assert [s.name for s in workers] == ["a", "c"]


def test_a_runner_without_pipelines_is_refused() -> None:
    with pytest.raises(CallerError, match="at least one pipeline"):
        Pool([])


async def test_what_was_installed_meanwhile_gets_a_worker_of_its_own_for_the_next_stream() -> None:
    place, newer = seat("a"), Worker(WorkerState.STOPPED)
    older = cast(Any, place.supervisor)
    answers = [cast(Supervisor, newer), None]
    place.renew = lambda: answers.pop(0)
    assert (await pool(place).take("a", "s1")).supervisor is cast(Supervisor, newer)
    assert older.closed
    assert newer.state is WorkerState.STARTING
    place.taken_by = None
    await pool(place).take("a", "s2")
    assert not newer.closed


async def test_a_worker_stays_when_what_is_installed_now_cannot_be_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Supervisor:
        raise CallerError("there is no pipeline 'a'")

    place = seat("a")
    place.renew = broken
    kept = cast(Any, place.supervisor)
    assert (await pool(place).take("a", "s1")).supervisor is kept
    assert not kept.closed
    assert "there is no pipeline 'a'" in caplog.text


async def test_a_seat_is_free_again_when_its_worker_cannot_be_replaced() -> None:
    def fails() -> Supervisor:
        raise OSError("disk")

    place = seat("a")
    place.renew = fails
    with pytest.raises(OSError, match="disk"):
        await pool(place).take("a", "s1")
    assert place.taken_by is None
