"""Frame rates and latency histograms."""

from __future__ import annotations

import pytest

from ai_runner_base.stream._meters import STAGES, FpsMeter, Histogram, StageMeter
from ai_runner_base.supervisor import Stamps

pytestmark = pytest.mark.unit


def test_fps_is_unknown_in_the_first_second_then_right() -> None:
    meter = FpsMeter()
    assert meter.fps(0.0) is None
    for frame in range(90):
        meter.tick(5.3 + frame / 30)
    assert meter.fps(6.2) is None
    assert meter.fps(5.3 + 3) == pytest.approx(30, rel=0.02)


def test_fps_forgets_what_is_older_than_its_window() -> None:
    meter = FpsMeter()
    for frame in range(300):
        meter.tick(frame / 30)
    assert meter.fps(10.0) == pytest.approx(30, rel=0.05)
    assert meter.fps(30.0) == 0.0
    for frame in range(3000):
        meter.tick(30 + frame / 30)
    assert meter.fps(130.0) == pytest.approx(30, rel=0.05)
    assert len(meter._bins) <= 11
    assert meter.total == 3300


def test_quantiles_lie_in_the_right_bucket() -> None:
    histogram = Histogram()
    for ms in [1.5] * 90 + [40.0] * 9 + [400.0]:
        histogram.add(ms)
    assert 1 <= (histogram.quantile(0.5) or 0) <= 2
    assert 33 <= (histogram.quantile(0.95) or 0) <= 50
    assert histogram.quantile(1.0) == 400.0
    assert histogram.summary()["count"] == 100


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert Histogram().summary() == {
        "count": 0,
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
        "max_ms": 0.0,
    }


def test_a_clock_step_counts_as_zero_and_a_huge_latency_stays_finite() -> None:
    histogram = Histogram()
    histogram.add(-5)
    histogram.add(1e9)
    assert histogram.counts[0] == 1
    assert histogram.quantile(0.99) <= 1e9  # type: ignore[operator]


def test_stages_with_missing_stamps_are_left_out() -> None:
    stages = StageMeter()
    stages.add(Stamps(received_ns=1_000_000, decoded_ns=3_000_000), encoded_ns=11_000_000)
    assert list(stages.summary()) == ["decode", "total"]
    assert stages.summary()["decode"]["max_ms"] == 2.0
    assert stages.summary()["total"]["max_ms"] == 10.0


def test_every_stamp_belongs_to_a_stage() -> None:
    used = {name for _, first, last in STAGES for name in (first, last)}
    assert used == set(Stamps._fields) | {"encoded_ns"}
