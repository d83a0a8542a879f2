"""Access units to pictures, with a budget for bad data."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from ai_runner_base.errors import CallerError
from ai_runner_base.media._bitstream import can_start_decoding
from ai_runner_base.media._device_codec import DeviceCodec, VideoCodec
from ai_runner_base.media._kept import KeptPackets
from ai_runner_base.media._timeline import is_jump
from ai_runner_base.media._types import TICKS_PER_S, DecoderCounters, Picture

logger = logging.getLogger(__name__)

MAX_REORDER = 64
"""Access units whose arrival is remembered; no codec reorders further."""
MAX_SILENT = 20
"""Access units in a row without a picture after which a device does not work; H.264 holds 16 back at most."""
SOFTWARE = "software"
DOWNLOADED_FORMATS = ("nv12", "p010le", "p016le")
"""In which pictures come from a device; decoders in software give planes."""


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

    A decoder on a device is left for good at its first failure, or when its driver hangs: what it was given since
    the last key frame is decoded again in software, so that nothing is missing.

    :param open_codec: makes a fresh decoder in software; called again when the budget is spent
    :param time_base: of the packets and therefore of the pictures
    :param open_on_device: makes the decoder that is tried first; None: software from the start
    :ivar on_device: the newest picture came from the device
    """

    def __init__(
        self,
        open_codec: Callable[[], VideoCodecContext],
        time_base: Fraction,
        counters: DecoderCounters,
        policy: DecodePolicy,
        open_on_device: Callable[[], VideoCodecContext] | None = None,
    ) -> None:
        self.on_device = False
        self._open_codec = open_codec
        self._time_base = time_base
        self._counters = counters
        self._policy = policy
        self._budget = policy.invalid_budget
        self._kept: KeptPackets | None = None
        self._silent = 0
        self._skips_to_start = False
        self._codec = self._open_first(open_on_device)
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
        yield from self._pictures(self._frames(packet), received_ns)

    def flush(self) -> Iterator[Picture]:
        """The pictures that the decoder still holds; it must not be used afterwards."""
        try:
            frames = self._codec.decode(None)
        except av.FFmpegError as error:
            if self._kept is None:
                logger.debug("Nothing left to flush: %s", error)
                return
            frames = [*self._fall_back(str(error)), *self._codec.decode(None)]
        yield from self._pictures(frames, time.monotonic_ns())

    def restart(self) -> None:
        """After a skip in the input: forget everything that came before."""
        self._arrivals.clear()
        if self._kept is not None:
            self._kept.clear()
        try:
            self._codec.flush_buffers()
        except av.FFmpegError as error:  # only a device's driver fails at this
            self._fall_back(str(error))

    def _frames(self, packet: av.Packet[av.stream.Stream]) -> list[av.VideoFrame]:
        if self._skips_to_start:
            if not can_start_decoding(self._codec.name, bytes(packet)):
                self._counters.skipped_before_key_frame += 1
                return []
            self._skips_to_start = False
        if self._kept is not None:
            self._kept.add(packet)
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError as error:
            return self._failed(error)
        self._silent = 0 if frames else self._silent + 1
        if self._kept is not None and self._silent > MAX_SILENT:
            return self._fall_back(f"no picture from {self._silent} frames")
        return frames

    # --- the device ---

    def _open_first(self, open_on_device: Callable[[], VideoCodecContext] | None) -> VideoCodec:
        if open_on_device is None:
            return self._open_codec()
        try:
            codec = DeviceCodec(open_on_device)
        except (NotImplementedError, av.FFmpegError) as error:
            self._note_fall_back(str(error))
            return self._open_codec()
        self._kept = KeptPackets(codec.name)
        return codec

    def _failed(self, error: av.FFmpegError) -> list[av.VideoFrame]:
        if self._kept is not None and not isinstance(error, av.error.InvalidDataError):
            return self._fall_back(str(error))
        return self._invalid(error)

    def _fall_back(self, reason: str) -> list[av.VideoFrame]:
        """Go on in software; returns the pictures that the device still owed."""
        self._note_fall_back(reason)
        kept, self._kept = self._kept, None
        if isinstance(self._codec, DeviceCodec):
            self._codec.leave()
        self._codec, self._budget = self._open_codec(), self._policy.invalid_budget
        frames: list[av.VideoFrame] = []
        for packet in kept or ():
            with suppress(av.FFmpegError):  # bad data, which the device may have been right about
                frames += self._codec.decode(packet)
        self._skips_to_start = kept is None or not kept.usable
        return [frame for frame in frames if frame.pts in self._arrivals]

    def _note_fall_back(self, reason: str) -> None:
        logger.warning("The device failed to decode (%s); software does it from now on", reason)
        self._counters.device_failures += 1

    # --- pictures ---

    def _pictures(self, frames: list[av.VideoFrame], received_ns: int) -> Iterator[Picture]:
        decoded_ns = time.monotonic_ns()
        if frames:
            self.on_device = self._kept is not None and is_from_device(self._codec, frames[-1])
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

    def _invalid(self, error: av.FFmpegError) -> list[av.VideoFrame]:
        self._counters.invalid_packets += 1
        self._budget -= 1
        if self._budget >= 0:
            return []
        if self._kept is not None:
            return self._fall_back(f"{self._counters.invalid_packets} bad packets; {error.strerror}")
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
        return []


def open_live_codec(name: str, device: str = SOFTWARE) -> VideoCodecContext:
    """A decoder that gives a picture at once: threads work on slices of one frame, never on several frames.

    :param name: FFmpeg's decoder name
    :param device: FFmpeg's device type, whose pictures are brought to main memory; what it cannot decode, it leaves
        to software
    :raises NotImplementedError: FFmpeg cannot decode this codec on a device
    :raises av.FFmpegError: there is no such device, or its driver fails
    """
    hwaccel = None if device == SOFTWARE else HWAccel(device, allow_software_fallback=True)
    codec = CodecContext.create(name, "r", hwaccel)
    if not isinstance(codec, VideoCodecContext):
        raise CallerError(f"{name} is not a video codec")
    codec.thread_type = "SLICE"
    codec.thread_count = decoder_threads() if hwaccel is None else 1
    codec.open()
    return codec


def is_from_device(codec: VideoCodec, frame: av.VideoFrame) -> bool:
    """Whether the device that the decoder was opened on has decoded this picture, not software in its place."""
    return codec.is_hwaccel and frame.format.name in DOWNLOADED_FORMATS


def decoder_threads() -> int:
    """Threads of one decoder; those beyond the slices of a frame stay asleep."""
    return min(4, os.cpu_count() or 1)
