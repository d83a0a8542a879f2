"""Frames in chunks of n, pictures out in chunks of T: which picture is shown when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
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

    def filled(self, size: int) -> list[Any]:
        """The pictures, the last one again and again until there are enough."""
        return self.pictures + self.pictures[-1:] * (size - len(self))


def spread(times: Sequence[Time], count: int) -> list[Time]:
    """Times of the pictures that a chunk led to, evenly from its first frame to its last.

    The first and the last picture have the times of the first and the last frame, a single one that of the last:
    so a chunk is accounted for when its pictures are. As many pictures as frames have the times of the frames,
    fewer have those of some frames, and more lie between frames in a finer time base, so that nothing is rounded.

    :param times: of the frames, at least one
    :param count: pictures
    :return: `count` times, rising
    """
    last, gaps = len(times) - 1, count - 1
    if gaps <= 0:
        return [times[-1]] * count
    if last == 0:
        return _after(times[0], count)
    if gaps <= last:
        return [times[(2 * index * last + gaps) // (2 * gaps)] for index in range(count)]
    return [_between(times, *divmod(index * last, gaps), gaps) for index in range(count)]


def shown(count: int, frames: int, size: int) -> int:
    """How many pictures of a chunk that was filled up are those of its own frames.

    :param count: pictures
    :param frames: that came
    :param size: frames after filling up
    """
    return count if frames == size else 1 + (count - 1) * (frames - 1) // (size - 1)


def _between(times: Sequence[Time], index: int, rest: int, gaps: int) -> Time:
    pts, base = times[index]
    if rest == 0:
        return pts, base
    return pts * gaps + rest * (times[index + 1][0] - pts), base / gaps


def _after(time: Time, count: int) -> list[Time]:
    """Of one frame: there is nothing to go by but a common frame rate."""
    pts, base = time
    step = max(1, round(Fraction(1, 30) / base))
    return [time, *((pts * count + index * step, base / count) for index in range(1, count))]
