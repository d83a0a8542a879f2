"""Changes of parameters: one after the other, none lost, none too many."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from ai_runner_base.errors import CallerError
from ai_runner_base.stream._parameters import MAX_WAITING_CHANGES, Parameters, TooManyChangesError, size_of
from ai_runner_base.supervisor import ParamsApplied, ParamsRejected, Supervisor, WorkerFailed, WorkerState

pytestmark = pytest.mark.unit


class Worker:
    """Stands in for a supervisor at the edge: takes its time, refuses what is named ``bad``, dies of ``deadly``."""

    def __init__(self) -> None:
        self.state, self.reloading = WorkerState.READY, False
        self.taken: list[dict[str, Any]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def update_params(self, params: Mapping[str, Any]) -> ParamsApplied:
        await asyncio.sleep(0)
        await self.go.wait()
        if "bad" in params:
            raise ParamsRejected("bad is not a parameter")
        if "deadly" in params:
            raise WorkerFailed("the worker ended before it answered")
        self.taken.append(dict(params))
        return ParamsApplied(len(self.taken), dict(params), None, self.reloading)


def parameters(worker: Worker, **wanted: Any) -> Parameters:
    return Parameters(cast(Supervisor, worker), wanted, lambda _: None)


def merge(**changes: Any) -> Any:
    return lambda current: {**current, **changes}


async def test_two_changes_at_once_both_hold() -> None:
    worker = Worker()
    changed = parameters(worker, width=512)
    await asyncio.gather(changed.change(merge(a=1)), changed.change(merge(b=2)))
    assert changed.current == {"width": 512, "a": 1, "b": 2}
    assert changed.outcomes == {"applied": 2}


@pytest.mark.parametrize(
    ("state", "at_once", "after_a_reload"),
    [
        (WorkerState.RELOADING, False, True),
        (WorkerState.READY, True, True),  # a reload that is over before its answer is read
        (WorkerState.RESTARTING, False, False),  # it ended with the worker; another reload is none of ours
    ],
)
async def test_parameters_that_need_a_reload_hold_once_it_has_ended(
    state: WorkerState, at_once: bool, after_a_reload: bool
) -> None:
    worker = Worker()
    first = parameters(worker, model="m")
    worker.state, worker.reloading = state, True
    await first.give()
    assert first.given is at_once
    first.reloaded()
    assert first.given is after_a_reload


async def test_a_refused_change_leaves_what_was_and_what_comes() -> None:
    changed = parameters(Worker())
    await changed.change(merge(a=1))
    with pytest.raises(ParamsRejected):
        await changed.change(merge(bad=True))
    with pytest.raises(WorkerFailed):
        await changed.change(merge(deadly=True))
    await changed.change(merge(b=2))
    assert changed.current == {"a": 1, "b": 2}
    assert changed.outcomes == {"applied": 2, "refused": 1, "failed": 1}


async def test_more_than_a_stream_takes_is_refused_at_once_and_the_rest_applied() -> None:
    worker = Worker()
    changed = parameters(worker)
    worker.go.clear()
    waiting = [asyncio.create_task(changed.change(merge(n=n))) for n in range(MAX_WAITING_CHANGES)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyChangesError) as refused:
        await changed.change(merge(n=-1))
    assert refused.value.http_status == 429
    worker.go.set()
    await asyncio.gather(*waiting)
    assert [taken["n"] for taken in worker.taken] == list(range(MAX_WAITING_CHANGES))
    await changed.change(merge(n=100))
    assert changed.current == {"n": 100}


async def test_the_first_ones_count_as_given_only_once_they_are_taken() -> None:
    changed = parameters(Worker(), deadly=True)
    with pytest.raises(WorkerFailed):
        await changed.give()
    assert not changed.given
    changed.adopt({"a": 1})
    await changed.give()
    assert changed.given


@pytest.mark.parametrize(
    ("params", "defaults", "size"),
    [({}, {}, (512, 512)), ({"width": 640}, {}, (640, 512)), ({"height": 720}, {"width": 1280}, (1280, 720))],
)
def test_size(params: dict[str, Any], defaults: dict[str, Any], size: tuple[int, int]) -> None:
    assert size_of(params, defaults) == size


@pytest.mark.parametrize("width", ["wide", None, 7, 10**9, -64, 1.5, [512]])
def test_a_size_that_no_pipeline_takes_is_the_callers_fault(width: Any) -> None:
    with pytest.raises(CallerError, match="width"):
        size_of({"width": width}, {})
