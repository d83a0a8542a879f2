"""The state table, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai_runner_base.stream.state import HEALTH, RULES, Snapshot, StreamState, evaluate

pytestmark = pytest.mark.unit

WELL = Snapshot(
    streaming=True,
    worker_failed=False,
    worker_ready=True,
    since_load_s=100,
    since_input_s=0.03,
    since_output_s=0.04,
    input_fps=30,
    output_fps=30,
)

ROWS = [
    ("all well", {}, StreamState.ONLINE),
    ("no stream", {"streaming": False}, StreamState.OFFLINE),
    ("error stays", {"previous": StreamState.ERROR}, StreamState.ERROR),
    ("worker gave up", {"worker_failed": True, "worker_ready": False}, StreamState.ERROR),
    ("worker gave up", {"worker_failed": True, "worker_ready": False, "streaming": False}, StreamState.ERROR),
    ("loading", {"worker_ready": False}, StreamState.LOADING),
    ("loading", {"worker_ready": False, "streaming": False}, StreamState.LOADING),
    ("loading too long", {"worker_ready": False, "since_load_s": 181}, StreamState.ERROR),
    ("input gone", {"since_input_s": 90}, StreamState.ERROR),
    ("input missing", {"since_input_s": 61}, StreamState.DEGRADED_INPUT),
    ("just started", {"since_load_s": 1.9, "since_output_s": None, "since_input_s": 1}, StreamState.ONLINE),
    (
        "no input yet",
        {"since_load_s": 5, "since_output_s": None, "since_input_s": 7},
        StreamState.DEGRADED_INPUT,
    ),
    ("no output yet", {"since_load_s": 9, "since_output_s": None}, StreamState.DEGRADED_INFERENCE),
    ("no output at all", {"since_load_s": 11, "since_output_s": None}, StreamState.LOADING),
    (
        "never any output",
        {"since_load_s": 11, "since_output_s": None, "since_replaced_s": 59},
        StreamState.ERROR,
    ),
    ("no output any more", {"since_output_s": 5.1}, StreamState.LOADING),
    ("no output any more", {"since_output_s": 5.1, "since_replaced_s": 61}, StreamState.LOADING),
    ("output stalled", {"since_output_s": 5.1, "since_replaced_s": 59}, StreamState.ERROR),
    ("error lately", {"since_error_s": 14}, StreamState.DEGRADED_INFERENCE),
    ("restart lately", {"since_restart_s": 59}, StreamState.DEGRADED_INFERENCE),
    ("input stale", {"since_input_s": 2.1, "since_output_s": 2.1}, StreamState.DEGRADED_INPUT),
    ("input slow", {"input_fps": 14.9}, StreamState.DEGRADED_INPUT),
    ("output slow", {"since_output_s": 2.5, "since_input_s": 1.9}, StreamState.DEGRADED_INFERENCE),
    ("output slow", {"output_fps": 9.9}, StreamState.DEGRADED_INFERENCE),
    (
        "output slow",
        {"output_fps": 11.9, "input_fps": 15, "since_output_s": 2.2},
        StreamState.DEGRADED_INFERENCE,
    ),
    ("all well", {"input_fps": None, "output_fps": None}, StreamState.ONLINE),
]


@pytest.mark.parametrize(("name", "change", "state"), ROWS)
def test_row(name: str, change: dict[str, object], state: StreamState) -> None:
    rule = evaluate(replace(WELL, **change))  # type: ignore[arg-type]
    assert (rule.name, rule.then) == (name, state)


def test_a_worker_of_no_use_is_replaced_before_the_stream_is_given_up_and_for_the_next_one() -> None:
    replacing = {rule.name for rule in RULES if rule.replaces_worker}
    assert replacing == {"no output at all", "never any output", "no output any more", "output stalled"}


def test_every_rule_is_exercised() -> None:
    assert {rule.name for rule in RULES} == {name for name, _, _ in ROWS}


def test_every_state_has_a_health_word() -> None:
    assert set(HEALTH) == set(StreamState)
    assert set(HEALTH.values()) == {"LOADING", "OK", "ERROR", "IDLE"}
