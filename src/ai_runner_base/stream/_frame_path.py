"""The way of a frame through a stream: picture → slot → worker → sink, or a waiting picture while nobody is there.

`take` runs on the source's thread and `give` on the event loop; what both touch is behind `_order`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..media import Fitter, Picture
from ..supervisor import Stamps, WorkerOutput, WorkerSession
from ._ends import Pixels, Sink
from ._meters import FpsMeter, StageMeter
from ._pace import Pace
from .overlay import Overlay

_SPARE_PICTURES = 2
_JUMP_BACK_S = 2
"""What is further behind the last picture than this is not late but of a new timeline (the decoder's limit, too)."""


@dataclass
class Drops:
    """Frames that did not come out, by cause, beside those that the session counts."""

    no_slot: int = 0
    """The session could not take the frame: closing, or all slots in use."""
    no_overlay_room: int = 0
    """The encoder was still busy with earlier waiting pictures."""
    above_max_fps: int = 0
    """More frames than the operator allows."""
    late: int = 0
    """The result's PTS was not after the last one sent."""


class FramePath:
    """Carries frames; knows nothing of parameters, states or events.

    :param width: of the pictures that the pipeline is given, in px
    :param height: the same
    """

    def __init__(self, session: WorkerSession, sink: Sink, width: int, height: int) -> None:
        self._session, self._sink = session, sink
        self.width, self.height = width, height
        self.output_size = width, height
        self.caption = "loading"
        """Words on the waiting picture; empty: none is shown and those frames are left out."""
        self.hold = True
        """True: the worker has not got the stream's parameters yet, so frames must not reach it."""
        self.on_result: Callable[[WorkerOutput], None] = lambda _: None
        """Told of each result just before the sink gets it. On the event loop."""
        self.drops = Drops()
        self.taken, self.given = FpsMeter(), FpsMeter()
        self.stages = StageMeter()
        self._fitter = Fitter(width, height)
        self._pace: Pace | None = None
        self._order = threading.Lock()
        self._last_time: Fraction | None = None
        self._newest_input: Fraction | None = None
        self._last_seq = 0
        self._first_seq = 0
        """Results of frames before this one belong to a timeline that the input has left."""
        self._overlay: Overlay | None = None
        self._spare = [np.empty((0, 0, 3), np.uint8) for _ in range(_SPARE_PICTURES)]

    # --- in ---------------------------------------------------------------------------------------------------------

    def limit_fps(self, max_fps: float) -> None:
        """Drop input frames above a rate; 0: none. Before the first frame."""
        self._pace = Pace(max_fps) if max_fps > 0 else None

    def take(self, picture: Picture) -> None:
        """Give a picture to the worker, newest wins; show a waiting picture where there is none."""
        now_s = time.monotonic()
        self.taken.tick(now_s)
        self._follow(picture)
        if self._pace is not None and not self._pace.admit(picture.pts * picture.time_base):
            self.drops.above_max_fps += 1
            return
        if self.hold or not self._session.ready:
            self._show_waiting(picture, now_s)
            return
        slot = self._session.acquire(self.width, self.height)
        if slot is None:
            self.drops.no_slot += 1
            return
        self._fitter.into(picture, slot.array)
        stamps = Stamps(received_ns=picture.received_ns, decoded_ns=picture.decoded_ns)
        self._last_seq = self._session.commit(slot, picture.pts, picture.time_base, stamps)

    def _follow(self, picture: Picture) -> None:
        """Begin a new timeline where the input's has jumped back; what is under way belongs to the old one."""
        at = picture.pts * picture.time_base
        newest = self._newest_input
        if newest is not None and at < newest - _JUMP_BACK_S:
            with self._order:
                self._last_time, self._first_seq, newest = None, self._last_seq + 1, None
        self._newest_input = at if newest is None else max(at, newest)

    def _show_waiting(self, picture: Picture, now_s: float) -> None:
        if not self.caption:
            return
        pixels = self._spare_picture()
        if pixels is None:
            self.drops.no_overlay_room += 1
            return
        with self._order:
            if self._overlay is None:
                self._overlay = Overlay(*self.output_size)
            self._overlay.draw(pixels, self.caption, now_s)
        when = picture.pts, picture.time_base
        self._send(pixels, *when, None, lambda: self._spare.append(pixels))

    def _spare_picture(self) -> Pixels | None:
        try:
            pixels = self._spare.pop()
        except IndexError:
            return None
        width, height = self.output_size
        return pixels if pixels.shape[:2] == (height, width) else np.empty((height, width, 3), np.uint8)

    # --- out --------------------------------------------------------------------------------------------------------

    def give(self, output: WorkerOutput) -> None:
        """Hand a result to the sink."""
        if not output.is_loading_frame:
            now_s = time.monotonic()
            self.given.tick(now_s)
            self._remember(output.array, now_s)
        self.on_result(output)
        when = output.pts, output.time_base
        self._send(output.array, *when, output.stamps, output.release, output.seq)

    def _remember(self, pixels: Pixels, now_s: float) -> None:
        height, width = pixels.shape[:2]
        with self._order:
            if self._overlay is None or self._overlay.size != (width, height):
                self._overlay, self.output_size = Overlay(width, height), (width, height)
            self._overlay.remember(pixels, now_s)

    def _send(
        self,
        pixels: Pixels,
        pts: int,
        time_base: Fraction,
        stamps: Stamps | None,
        done: Callable[[], Any],
        seq: int = 0,
    ) -> None:
        with self._order:
            late = self._is_late(pts * time_base, seq)
            if not late:
                self._last_time = pts * time_base
                self._sink.submit(pixels, pts, time_base, stamps, done)
        if late:
            self.drops.late += 1
            done()

    def _is_late(self, at: Fraction, seq: int) -> bool:
        """:param seq: of the input frame; 0: a waiting picture, or a pipeline that makes up its own times"""
        if 0 < seq < self._first_seq:
            return True
        return self._last_time is not None and self._last_time - _JUMP_BACK_S <= at <= self._last_time

    def sent(self, stamps: Stamps) -> None:
        """Measure a result whose bytes are on their way. Any thread."""
        self.stages.add(stamps, encoded_ns=time.monotonic_ns())
