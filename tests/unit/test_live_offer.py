"""What orchestrators are told of workers; the health check of static entries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.server.live_offer import Costs, Slots, count_slots, describe, gpu_of
from ai_runner_base.server.live_routes import readiness
from ai_runner_base.server.schemas import GpuInfo
from ai_runner_base.stream import Runner, Seat
from ai_runner_base.supervisor import WorkerState

pytestmark = pytest.mark.unit


def test_a_cost_that_was_measured_before_is_told_until_a_stream_has_a_better_one() -> None:
    known = {"p50": 41.0, "p95": 55.0, "size": "640x480"}
    infer = {"count": 29, "p50_ms": 30.0, "p95_ms": 33.0}
    frames = SimpleNamespace(width=512, height=512, stages=SimpleNamespace(summary=lambda: {"infer": infer}))
    streams = {"a": SimpleNamespace(pipeline="style", frames=frames)}
    costs = Costs(cast(Runner, SimpleNamespace(streams=streams)), {"style": known})
    assert costs.of("style") == known
    infer["count"] = 30
    assert costs.of("style") == {"p50": 30.0, "p95": 33.0, "size": "512x512"}
    assert costs.of("noop") is None


@dataclass
class FakeSupervisor:
    state: WorkerState
    info: object | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> Any:
        return SimpleNamespace(env=self.env)


def seat(state: str = "READY", taken: bool = False, **more: Any) -> Seat:
    supervisor = cast(Any, FakeSupervisor(WorkerState[state], **more))
    return Seat("noop", supervisor, "a stream" if taken else None)


@pytest.mark.parametrize(
    ("seats", "held", "promised", "closing", "expected"),
    [
        ([seat(), seat()], 0, 0, False, Slots(2, "ready")),
        ([seat(), seat(taken=True)], 0, 0, False, Slots(1, "ready")),
        ([seat(taken=True)], 0, 0, False, Slots(1, "busy")),
        ([seat(taken=True)], 1, 0, False, Slots(1, "ready")),
        ([seat()], 1, 1, False, Slots(1, "ready")),
        ([seat(), seat()], 1, 1, False, Slots(2, "ready")),
        ([seat()], 0, 1, False, Slots(1, "busy")),
        ([seat("LOADING")], 0, 0, False, Slots(1, "loading")),
        ([seat("LOADING"), seat()], 0, 0, False, Slots(2, "ready")),
        ([seat("RESTARTING", taken=True)], 1, 0, False, Slots(1, "ready")),
        ([seat("FAILED"), seat()], 0, 0, False, Slots(1, "ready")),
        ([seat("FAILED")], 0, 0, False, Slots(1, "failed")),
        ([seat("FAILED")], 1, 1, False, Slots(1, "ready")),
        ([seat(), seat()], 0, 0, True, Slots(1, "draining")),
        ([seat(), seat(taken=True)], 1, 0, True, Slots(1, "ready")),
    ],
)
def test_slots(seats: list[Seat], held: int, promised: int, closing: bool, expected: Slots) -> None:
    assert count_slots(seats, held=held, promised=promised, closing=closing) == expected


@given(
    st.lists(
        st.tuples(st.sampled_from(["READY", "LOADING", "RESTARTING", "FAILED"]), st.booleans()), max_size=6
    ),
    st.integers(0, 4),
    st.integers(0, 4),
    st.booleans(),
)
def test_a_worker_is_never_offered_twice_and_a_session_never_hidden(
    workers: list[tuple[str, bool]], held: int, promised: int, closing: bool
) -> None:
    slots = count_slots([seat(*one) for one in workers], held=held, promised=promised, closing=closing)
    free = sum(state != "FAILED" and not taken for state, taken in workers)
    assert slots.capacity >= 1
    assert slots.status == slots.status.lower()
    if held:
        assert slots.status == "ready"
    if slots.status == "ready":
        assert slots.capacity - held <= max(0, free - promised)


def test_metadata_tells_the_package_the_cost_and_the_workers() -> None:
    text = describe({"package": "p", "build": None}, 2, {"p50": 8.1, "p95": 9.0, "size": "512x512"})
    assert json.loads(text) == {
        "package": "p",
        "frame_ms": {"p50": 8.1, "p95": 9.0, "size": "512x512"},
        "workers": 2,
    }


def gpu(id: str) -> GpuInfo:
    return GpuInfo(id=id, name="L40S", memory_total=48 << 30, memory_free=0, major=8, minor=9)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", "GPU-aa"), ("1", "GPU-bb"), ("1,0", "GPU-bb"), ("GPU-bb", "GPU-bb"), ("7", None)],
)
def test_the_gpu_is_the_one_that_the_worker_sees(visible: str, expected: str | None) -> None:
    found = gpu_of([seat(env={"CUDA_VISIBLE_DEVICES": visible})], {"0": gpu("GPU-aa"), "1": gpu("GPU-bb")})
    assert (found and found.id) == expected
    assert found is None or found.vram_mb == 48 * 1024


def test_no_gpu_is_no_gpu() -> None:
    assert gpu_of([seat()], {}) is None


@pytest.mark.parametrize(
    ("seats", "streams", "ready"),
    [
        ([seat("LOADING")], 0, False),
        ([seat("LOADING")], 1, True),
        ([seat("READY", info=object())], 0, True),
        ([seat("RESTARTING", info=object())], 0, True),
        ([seat("RELOADING", info=object())], 0, True),
        ([seat("RESTARTING")], 0, False),
        ([seat("FAILED", info=object())], 0, False),
        ([seat("FAILED", info=object()), seat("READY", info=object())], 0, True),
        ([seat("STOPPED", info=object())], 0, False),
    ],
)
def test_a_static_entry_is_healthy_from_the_first_load_until_every_worker_has_failed(
    seats: list[Seat], streams: int, ready: bool
) -> None:
    runner = cast(Runner, SimpleNamespace(streams=dict.fromkeys(range(streams)), pool=seats))
    assert readiness(runner).ready is ready
