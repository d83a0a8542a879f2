"""Frames in chunks of n, pictures out in chunks of T: which picture is shown when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

Time = tuple[int, Fraction]
"""pts and its time base."""


@dataclass(slots=True)
class Chunk:
    """Frames that are gathered for one call.

    :param pictures: as the node takes them
    :param times: one for each picture, rising, all in one time base
    """

    pictures: list[Any] = field(default_factory=list)
    times: list[Time] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def follows(self, time: Time) -> bool:
        """Whether a frame of this time can be added: its clock has neither jumped back nor changed."""
        if not self.times:
            return True
        (last_pts, base), (pts, new_base) = self.times[-1], time
        return base == new_base and pts > last_pts

    def add(self, picture: Any, time: Time) -> None:
        """Add one frame."""
        self.pictures.append(picture)
        self.times.append(time)


def spread(times: Sequence[Time], count: int) -> list[Time]:
    """Times of the pictures that a chunk led to, evenly over the time that its frames cover.

    The first picture has the time of the first frame. With as many pictures as frames each has the time of its
    frame, with fewer each has the time of some frame, with more those between two frames get a finer time base,
    so that nothing is rounded. The last frame is taken to last as long as the shortest before it.

    :param times: of the frames, at least one
    :param count: pictures
    :return: `count` times, rising
    """
    if count <= len(times):
        return [times[index * len(times) // count] for index in range(count)]
    return [_between(times, *divmod(index * len(times), count), count) for index in range(count)]


def _between(times: Sequence[Time], index: int, rest: int, count: int) -> Time:
    pts, base = times[index]
    if rest == 0:
        return pts, base
    return pts * count + rest * _duration(times, index), base / count


def _duration(times: Sequence[Time], index: int) -> int:
    if index + 1 < len(times):
        return times[index + 1][0] - times[index][0]
    if len(times) == 1:
        return max(1, round(Fraction(1, 30) / times[0][1]))  # nothing to go by: a common frame rate
    return min(after[0] - before[0] for before, after in pairwise(times))
