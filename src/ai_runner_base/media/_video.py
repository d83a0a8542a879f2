"""Access units to pictures, with a budget for bad data."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from ai_runner_base.errors import CallerError
from ai_runner_base.media._timeline import is_jump
from ai_runner_base.media._types import TICKS_PER_S, DecoderCounters, Picture

logger = logging.getLogger(__name__)

MAX_REORDER = 64
"""Access units whose arrival is remembered; no codec reorders further."""


@dataclass(frozen=True, slots=True)
class DecodePolicy:
    """What bad data may cost (the field's contract: 10 bad packets, then 3 new decoders within 2 minutes).

    :param invalid_budget: bad packets that are forgiven; every good picture repays one
    :param max_reopens: new decoders after that, within `reopen_window_s`
    """

    invalid_budget: int = 10
    max_reopens: int = 3
    reopen_window_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of an access unit and must be found again at its picture."""

    received_ns: int
    gap: bool


class VideoDecoder:
    """One video track's decoder.

    Pictures come out with PTS that increase, except after a `Picture.discontinuity`.

    :param open_codec: makes a fresh decoder; called again when the budget is spent
    :param time_base: of the packets and therefore of the pictures
    """

    def __init__(
        self,
        open_codec: Callable[[], VideoCodecContext],
        time_base: Fraction,
        counters: DecoderCounters,
        policy: DecodePolicy,
    ) -> None:
        self._open_codec = open_codec
        self._time_base = time_base
        self._counters = counters
        self._policy = policy
        self._codec = open_codec()
        self._budget = policy.invalid_budget
        self._reopens: deque[float] = deque()
        self._arrivals: dict[int, Arrival] = {}
        self._last_pts: int | None = None
        self._gap = False

    def decode(
        self, packet: av.Packet[av.stream.Stream], received_ns: int, *, gap: bool = False
    ) -> Iterator[Picture]:
        """Pictures that this access unit completes.

        :param packet: with PTS, DTS and time base set
        :param gap: data before this access unit was thrown away
        :raises CallerError: bad data, and the budget is spent
        """
        if packet.pts is not None:
            self._arrivals[packet.pts] = Arrival(received_ns, gap)
            if len(self._arrivals) > MAX_REORDER:
                del self._arrivals[next(iter(self._arrivals))]
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError as error:
            self._invalid(error)
            return
        yield from self._pictures(frames, received_ns)

    def flush(self) -> Iterator[Picture]:
        """The pictures that the decoder still holds; it must not be used afterwards."""
        try:
            frames = self._codec.decode(None)
        except av.FFmpegError as error:
            logger.debug("Nothing left to flush: %s", error)
            return
        yield from self._pictures(frames, time.monotonic_ns())

    def restart(self) -> None:
        """After a skip in the input: forget everything that came before."""
        self._codec.flush_buffers()
        self._arrivals.clear()

    def _pictures(self, frames: list[av.VideoFrame], received_ns: int) -> Iterator[Picture]:
        decoded_ns = time.monotonic_ns()
        for frame in frames:
            self._budget = min(self._budget + 1, self._policy.invalid_budget)
            if frame.pts is None:
                self._counters.skipped_without_pts += 1
                continue
            arrival = self._arrivals.pop(frame.pts, None)
            self._gap |= bool(arrival and arrival.gap)
            jump = self._is_jump(frame.pts)
            if jump is None:
                self._counters.dropped_pts_order += 1
                continue
            self._last_pts = frame.pts
            self._counters.discontinuities += jump
            discontinuity, self._gap = jump or self._gap, False
            received = arrival.received_ns if arrival else received_ns
            yield Picture(
                frame,
                frame.pts,
                self._time_base,
                bool(frame.key_frame),
                received,
                decoded_ns,
                discontinuity,
            )

    def _is_jump(self, pts: int) -> bool | None:
        """None when the picture is out of order."""
        if self._last_pts is None:
            return False
        step = pts - self._last_pts
        if is_jump(round(step * self._time_base * TICKS_PER_S)):
            return True
        return False if step > 0 else None

    def _invalid(self, error: av.FFmpegError) -> None:
        self._counters.invalid_packets += 1
        self._budget -= 1
        if self._budget >= 0:
            return
        now = time.monotonic()
        while self._reopens and now - self._reopens[0] > self._policy.reopen_window_s:
            self._reopens.popleft()
        if len(self._reopens) >= self._policy.max_reopens:
            raise CallerError(
                f"the video cannot be decoded: {self._counters.invalid_packets} bad packets, and "
                f"{len(self._reopens)} new decoders did not help; the last one says: {error.strerror}",
                hint="check what the sender encodes; H.264 is expected",
            )
        logger.warning("Too many bad video packets (%s); opening a new decoder", error.strerror)
        self._reopens.append(now)
        self._counters.reopened += 1
        self._codec = self._open_codec()
        self._arrivals.clear()
        self._budget = self._policy.invalid_budget


def open_live_codec(name: str) -> VideoCodecContext:
    """A decoder that gives a picture at once: threads work on slices of one frame, never on several frames.

    :param name: FFmpeg's decoder name
    """
    codec = CodecContext.create(name, "r")
    if not isinstance(codec, VideoCodecContext):
        raise CallerError(f"{name} is not a video codec")
    codec.thread_type = "SLICE"
    codec.thread_count = decoder_threads()
    codec.open()
    return codec


def decoder_threads() -> int:
    """Threads of one decoder; those beyond the slices of a frame stay asleep."""
    return min(4, os.cpu_count() or 1)
