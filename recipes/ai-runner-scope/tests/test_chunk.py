"""Which picture is shown when."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from ai_runner_scope.chunk import Chunk, spread

BASE = Fraction(1, 90000)


def _seconds(times: list[tuple[int, Fraction]]) -> list[Fraction]:
    return [pts * base for pts, base in times]


def test_as_many_pictures_as_frames_have_the_frames_own_times() -> None:
    times = [(pts, BASE) for pts in (0, 3003, 6000, 9009)]
    assert spread(times, 4) == times


def test_fewer_pictures_have_the_times_of_frames_spread_over_all_of_them() -> None:
    times = [(3000 * index, BASE) for index in range(12)]
    assert spread(times, 4) == [times[0], times[3], times[6], times[9]]


@pytest.mark.parametrize(("frames", "pictures"), [(12, 23), (1, 3), (2, 3), (4, 5), (12, 12), (12, 9)])
def test_times_are_even_and_rise_also_into_the_next_chunk(frames: int, pictures: int) -> None:
    step = Fraction(1, 30)
    clock = [(index, step) for index in range(2 * frames)]
    found = _seconds(spread(clock[:frames], pictures) + spread(clock[frames:], pictures))
    gaps = [after - before for before, after in pairwise(found)]
    assert min(gaps) > 0
    assert found[0] == 0
    assert found[pictures] == frames * step
    if pictures > frames:
        assert set(gaps) == {frames * step / pictures}


def test_frames_in_between_are_not_rounded_in_a_coarse_time_base() -> None:
    assert spread([(7, Fraction(1, 30)), (8, Fraction(1, 30))], 4) == [
        (7, Fraction(1, 30)),
        (30, Fraction(1, 120)),
        (8, Fraction(1, 30)),
        (34, Fraction(1, 120)),
    ]


def test_a_clock_that_jumps_back_or_changes_does_not_continue_a_chunk() -> None:
    chunk = Chunk()
    assert chunk.follows((5, BASE))
    chunk.add("picture", (5, BASE))
    assert chunk.follows((6, BASE))
    assert not chunk.follows((5, BASE))
    assert not chunk.follows((6, Fraction(1, 30)))
