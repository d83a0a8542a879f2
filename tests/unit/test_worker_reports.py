"""What a pipeline complains of: told, but not more often than somebody could read it."""

from __future__ import annotations

import time

import pytest

from ai_runner_base.wire import control
from ai_runner_base.worker._reports import Reporter

pytestmark = pytest.mark.unit


def test_the_same_complaint_with_every_frame_is_told_once_a_second_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    sent: list[control.ControlMessage] = []
    reporter = Reporter(sent.append)
    for frame in range(61):
        reporter.exception(MemoryError(), frame)
        now_s += 1 / 24  # of a second: the first 24 frames after a report come too soon
    reports = [message for message in sent if isinstance(message, control.Reported)]
    assert [report.suppressed for report in reports] == [0, 24, 24]


def test_another_complaint_need_not_wait_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    sent: list[control.ControlMessage] = []
    reporter = Reporter(sent.append)
    for message in ("no memory", "no memory", "no disk", "no disk"):
        reporter.report(message)
        now_s += 0.15
    assert [report.message for report in sent if isinstance(report, control.Reported)] == [
        "no memory",
        "no disk",
    ]
