"""The way of a frame: what is late, what belongs to a timeline that the input has left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import pytest

from ai_runner_base.media import Picture
from ai_runner_base.stream._ends import Sink
from ai_runner_base.stream._frame_path import FramePath
from ai_runner_base.supervisor import Stamps, WorkerOutput, WorkerSession

pytestmark = pytest.mark.unit

TIME_BASE = Fraction(1, 1000)
SIDE = 64
NO_STAMPS = Stamps()


@dataclass
class Slot:
    array: np.ndarray


@dataclass
class Session:
    """At the edge to the worker: takes every picture, numbers it from 1."""

    ready: bool = True
    committed: list[int] = field(default_factory=list)

    def acquire(self, width: int, height: int) -> Slot:
        return Slot(np.empty((height, width, 3), np.uint8))

    def commit(self, slot: Slot, pts: int, time_base: Fraction, stamps: Stamps) -> int:
        self.committed.append(pts)
        return len(self.committed)


@dataclass
class Collected:
    """At the edge to the encoder."""

    pts: list[int] = field(default_factory=list)

    def submit(
        self, pixels: np.ndarray, pts: int, time_base: Fraction, stamps: Any, done: Callable[[], None]
    ) -> None:
        self.pts.append(pts)
        done()


@dataclass
class Output:
    pts: int
    seq: int
    released: int = 0
    time_base: Fraction = TIME_BASE
    is_loading_frame: bool = False
    stamps: Stamps = NO_STAMPS
    array: np.ndarray = field(default_factory=lambda: np.zeros((SIDE, SIDE, 3), np.uint8))

    def release(self) -> None:
        self.released += 1


class Path:
    """A frame path between both edges."""

    def __init__(self) -> None:
        self.session, self.sink = Session(), Collected()
        self.frames = FramePath(cast(WorkerSession, self.session), cast(Sink, self.sink), SIDE, SIDE)
        self.frames.hold = False

    def take(self, *pts: int) -> None:
        for one in pts:
            frame = av.VideoFrame(SIDE, SIDE, "yuv420p")
            self.frames.take(Picture(frame, one, TIME_BASE, True, 1, 1))

    def give(self, pts: int, seq: int) -> Output:
        output = Output(pts, seq)
        self.frames.give(cast(WorkerOutput, output))
        return output


def test_results_go_out_in_order_and_late_ones_are_dropped_and_released() -> None:
    path = Path()
    path.take(0, 40, 80)
    outputs = [path.give(0, 1), path.give(80, 3), path.give(40, 2), path.give(80, 3)]
    assert path.sink.pts == [0, 80]
    assert path.frames.drops.late == 2
    assert [output.released for output in outputs] == [1, 1, 1, 1]


def test_an_input_clock_that_goes_back_takes_the_output_along() -> None:
    path = Path()
    path.take(3_600_000, 3_600_040)
    path.give(3_600_000, 1)
    path.take(0, 40)
    path.give(0, 3)
    path.give(40, 4)
    assert path.sink.pts == [3_600_000, 0, 40]
    assert path.frames.drops.late == 0


def test_what_was_under_way_when_the_clock_went_back_does_not_hold_up_what_follows() -> None:
    path = Path()
    path.take(3_600_000, 3_600_040)
    path.give(3_600_000, 1)
    path.take(0)
    straggler = path.give(3_600_040, 2)
    path.give(0, 3)
    assert path.sink.pts == [3_600_000, 0]
    assert straggler.released == 1


def test_a_clock_that_goes_forward_needs_no_care() -> None:
    path = Path()
    path.take(0, 3_600_000)
    path.give(0, 1)
    path.give(3_600_000, 2)
    assert path.sink.pts == [0, 3_600_000]


def test_a_pipeline_with_times_of_its_own_is_in_order_as_well() -> None:
    path = Path()
    path.take(5_000)
    path.give(5_000, 0)
    path.give(4_990, 0)
    path.give(0, 0)
    path.give(20, 0)
    assert path.sink.pts == [5_000, 0, 20]


def test_waiting_pictures_and_results_share_one_order() -> None:
    path = Path()
    path.take(0, 40)
    path.session.ready = False
    path.take(80)
    path.session.ready = True
    path.give(40, 2)
    assert path.sink.pts == [80]
    assert path.frames.drops.late == 1
