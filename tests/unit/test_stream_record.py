"""How old a load is, seen by the state table: parameters that change again and again must not keep it young."""

from __future__ import annotations

import time

import pytest

from ai_runner_base.stream._meters import FpsMeter
from ai_runner_base.stream._record import Record

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        self.record, self.given = Record(), FpsMeter()

    def at(self, seconds: float) -> None:
        self.now_s = 100.0 + seconds

    def age_s(self) -> float:
        meter = FpsMeter()
        return self.record.snapshot(
            worker_failed=False, worker_ready=True, taken=meter, given=self.given
        ).since_load_s

    def change(self) -> None:
        self.record.params_changed(self.given.last_s)


def test_a_load_counts_from_two_seconds_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    clock.at(1)
    assert clock.age_s() == 0
    clock.at(5)
    assert clock.age_s() == 3


def test_a_change_after_output_counts_like_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    clock.at(20)
    clock.given.tick(clock.now_s)
    clock.change()
    clock.at(25)
    assert clock.age_s() == 3


def test_changes_without_output_between_them_count_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    clock.at(20)
    clock.given.tick(clock.now_s)
    for second in range(21, 31):
        clock.at(second)
        clock.change()
    assert clock.age_s() == 7
    clock.given.tick(clock.now_s)
    clock.at(31)
    clock.change()
    assert clock.age_s() == 0


def test_a_worker_that_never_gave_anything_is_as_old_as_its_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    for second in range(1, 12):
        clock.at(second)
        clock.change()
    assert clock.age_s() == 9
