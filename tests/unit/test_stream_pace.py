"""The cap on the frame rate."""

from __future__ import annotations

from fractions import Fraction

import pytest

from ai_runner_base.stream._pace import Pace

pytestmark = pytest.mark.unit


def admitted(fps: int, max_fps: float, seconds: int = 10, jitter: Fraction = Fraction(0)) -> int:
    pace = Pace(max_fps)
    times = [Fraction(n, fps) + (jitter if n % 2 else 0) for n in range(fps * seconds)]
    return sum(pace.admit(time) for time in times)


@pytest.mark.parametrize(
    ("fps", "max_fps", "expected"), [(60, 24, 240), (30, 24, 240), (30, 30, 300), (15, 24, 150)]
)
def test_the_rate_is_capped_and_lower_rates_pass(fps: int, max_fps: float, expected: int) -> None:
    assert abs(admitted(fps, max_fps) - expected) <= 0.02 * expected


def test_jitter_of_a_camera_loses_nothing_at_the_cap() -> None:
    assert admitted(30, 30, jitter=Fraction(1, 200)) == 300


def test_a_jump_of_the_timeline_does_not_stop_the_stream() -> None:
    pace = Pace(24)
    assert pace.admit(Fraction(1000))
    assert pace.admit(Fraction(2))
    assert not pace.admit(Fraction(2) + Fraction(1, 100))
    assert pace.admit(Fraction(5000))
