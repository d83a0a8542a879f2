"""Events and faults: what is told, how often, how long; nothing grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ai_runner_base.stream._ends import Sink, Source
from ai_runner_base.stream._faults import Faults
from ai_runner_base.stream.events import KEPT_EVENTS, MAX_LOG_CHARACTERS, MAX_MESSAGE, Events

pytestmark = pytest.mark.unit


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class End:
    """Stands in for a source or a sink: only its counters matter here."""

    counters: dict[str, Any] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        return self.counters


def collecting() -> tuple[Events, Clock, list[dict[str, Any]]]:
    clock, told = Clock(), list[dict[str, Any]]()
    events = Events("noop", clock_s=clock)
    events.listen(lambda body: told.append(body["event"]))
    return events, clock, told


def test_of_many_errors_one_a_second_is_told_and_the_newest_of_them() -> None:
    events, clock, told = collecting()
    for number in range(1000):
        events.error(f"error {number}")
    clock.now_s += 1
    events.tick()
    events.tick()
    assert [event["message"] for event in told] == ["error 0", "error 999"]


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    events, _, told = collecting()
    events.error("begin" + "x" * 10**6 + "end")
    message = told[0]["message"]
    assert len(message) < MAX_MESSAGE + 10
    assert message.startswith("begin")
    assert message.endswith("end")


def test_the_last_lines_of_a_worker_are_told_up_to_a_size() -> None:
    events, _, told = collecting()
    events.restart(1, ["old" * 5000, *("line " * 1000 for _ in range(3)), "the cause"], "it crashed")
    logs = told[0]["restart_logs"]
    assert logs[-1] == "the cause"
    assert len(logs) == 4
    assert sum(map(len, logs)) <= MAX_LOG_CHARACTERS


def test_only_the_last_events_are_kept_and_no_status() -> None:
    events, _, _ = collecting()
    for number in range(3 * KEPT_EVENTS):
        events.emit("status")
        events.emit("fault", number=number)
    assert len(events.recent) == KEPT_EVENTS
    assert events.recent[-1]["number"] == 3 * KEPT_EVENTS - 1


def faults_of(source: End, sink: End, params: dict[str, int] | None = None) -> Faults:
    return Faults(cast(Source, source), cast(Sink, sink), params or {})


def test_news_are_what_has_grown_in_words_and_numbers() -> None:
    source, sink = End({"lost_packets": 2, "kind": "trickle"}), End({"failed_segments": 0})
    faults = faults_of(source, sink)
    sentence, counts = faults.news()
    assert (sentence, counts) == ("input: 2 gap(s) in its packets", {"input_lost": 2})
    assert faults.news() == ("", {})
    sink.counters["failed_segments"] = 1
    source.counters["lost_packets"] = 5
    sentence, counts = faults.news()
    assert counts == {"input_lost": 3, "output_failed": 1}
    assert "input: 3 gap(s)" in sentence
    assert "output: 1 segment(s)" in sentence


def test_changes_of_parameters_that_were_not_applied_are_told() -> None:
    faults = faults_of(End(), End(), {"applied": 5, "refused": 2, "overrun": 100})
    assert faults.counts() == {"params_refused": 2, "params_overrun": 100}
    assert faults.news()[0] == "parameters: 2 change(s) refused; parameters: 100 change(s) more than may wait"


def test_what_has_an_event_of_its_own_is_counted_and_not_told_again() -> None:
    faults = faults_of(End(), End())
    faults.add("worker_restart")
    faults.add("events_lost", 3)
    assert faults.counts() == {"worker_restart": 1, "events_lost": 3}
    assert faults.news()[1] == {"events_lost": 3}
