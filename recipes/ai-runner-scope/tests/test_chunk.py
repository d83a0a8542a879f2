"""Which picture is shown when."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from ai_runner_scope.chunk import Chunk, shown, spread

BASE = Fraction(1, 90000)


def _seconds(times: list[tuple[int, Fraction]]) -> list[Fraction]:
    return [pts * base for pts, base in times]


def test_as_many_pictures_as_frames_have_the_frames_own_times() -> None:
    times = [(pts, BASE) for pts in (0, 3003, 6000, 9009)]
    assert spread(times, 4) == times


def test_fewer_pictures_have_the_times_of_frames_the_first_and_the_last_included() -> None:
    times = [(3000 * index, BASE) for index in range(12)]
    assert spread(times, 4) == [times[0], times[4], times[7], times[11]]
    assert spread(times, 1) == [times[11]]


@pytest.mark.parametrize("pictures", [1, 2, 3, 5, 9, 12, 13, 23, 36])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 12])
def test_times_rise_also_into_the_next_chunk_and_end_with_the_last_frame(frames: int, pictures: int) -> None:
    clock = [(index, Fraction(1, 30)) for index in range(2 * frames)]
    first, second = spread(clock[:frames], pictures), spread(clock[frames:], pictures)
    gaps = [after - before for before, after in pairwise(_seconds(first + second))]
    assert min(gaps) > 0
    assert len(first) == pictures
    assert first[-1 if frames > 1 else 0] == clock[frames - 1]
    assert pictures == 1 or first[0] == clock[0]
    if pictures >= frames > 1:
        assert len(set(gaps[: pictures - 1])) == 1


def test_frames_in_between_are_not_rounded_in_a_coarse_time_base() -> None:
    assert spread([(7, Fraction(1, 30)), (8, Fraction(1, 30))], 4) == [
        (7, Fraction(1, 30)),
        (22, Fraction(1, 90)),
        (23, Fraction(1, 90)),
        (8, Fraction(1, 30)),
    ]


@pytest.mark.parametrize(
    ("count", "frames", "size", "own"),
    [(23, 5, 12, 9), (12, 5, 12, 5), (4, 1, 4, 1), (3, 4, 12, 1), (23, 12, 12, 23)],
)
def test_what_was_filled_up_is_not_shown(count: int, frames: int, size: int, own: int) -> None:
    assert shown(count, frames, size) == own


def test_a_clock_that_jumps_back_or_changes_does_not_continue_a_chunk() -> None:
    chunk = Chunk()
    assert chunk.follows((5, BASE))
    chunk.add("picture", (5, BASE))
    assert chunk.follows((6, BASE))
    assert not chunk.follows((5, BASE))
    assert not chunk.follows((6, Fraction(1, 30)))
