"""What the encode thread of a live stream does with one frame or packet: encoder, audio path, muxer in a row."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ai_runner_base.errors import HostError
from ai_runner_base.media._audio_path import AudioMode, AudioPath
from ai_runner_base.media._timeline import is_jump
from ai_runner_base.media._ts_mux import AudioTrack, TsMuxer
from ai_runner_base.media._types import TICKS_PER_S, AudioInfo, AudioPacket, Cut, EncoderCounters
from ai_runner_base.media._video_encoder import CodedFrame, VideoEncoder, VideoEncoderOptions

logger = logging.getLogger(__name__)

MAX_REOPENS = 3
EARLY_AUDIO_TICKS = 2 * TICKS_PER_S
"""Audio older than this at the first picture is dropped (the field's contract)."""
EARLY_AUDIO_PACKETS = 200
"""Audio packets kept until the first picture; the oldest go first."""
ENCODER_STEP_TICKS = 3_000
"""What the encoder sees instead of a jump of the timeline."""


@dataclass(frozen=True, slots=True)
class LiveEncoderOptions:
    """How a live stream is encoded.

    :param key_frame_interval_s: of PTS, from one key frame and segment to the next
    :param queue_frames: frames that may wait for the encoder; a further one replaces the oldest
    """

    video: VideoEncoderOptions = field(default_factory=VideoEncoderOptions)
    audio: AudioMode = "opus"
    key_frame_interval_s: float = 2.0
    queue_frames: int = 3


@dataclass(frozen=True, slots=True)
class Job:
    array: NDArray[np.uint8]
    pts: int
    stamps: Any
    on_done: Callable[[], None] | None


class LiveLine:
    """What the encode thread does with one frame or packet: encoder, audio path and muxer in a row."""

    def __init__(
        self,
        width: int,
        height: int,
        options: LiveEncoderOptions,
        audio: AudioInfo | None,
        on_bytes: Callable[[bytes, Cut | None, Any], None],
        counters: EncoderCounters,
        on_coded: Callable[[CodedFrame], None] | None = None,
        on_coded_audio: Callable[[bytes, int], None] | None = None,
    ) -> None:
        self._size = (width, height)
        self._options = options
        self._on_bytes = on_bytes
        self._on_coded, self._on_coded_audio = on_coded, on_coded_audio
        self._counters = counters
        self._path = AudioPath(options.audio)
        self._muxer = TsMuxer(self._path.track(audio) if audio else None)
        self._encoder: VideoEncoder | None = None
        self._early_audio: deque[AudioPacket] = deque(maxlen=EARLY_AUDIO_PACKETS)
        self._in_encoder: dict[int, tuple[Job, bool]] = {}
        self._encoder_offset = 0
        self._last_pts: int | None = None
        self._last_encoder_pts = 0
        self._last_audio_pts: int | None = None
        self._segment_pts = 0
        self._fresh_encoder = True

    @property
    def codec_name(self) -> str:
        """FFmpeg's name of the encoder; empty while there is none. Any thread."""
        encoder = self._encoder
        return encoder.codec_name if encoder else ""

    def open(self) -> None:
        """Open the encoder; one that was asked for and does not open (GPUs count sessions) is done without.

        :raises HostError: there is none
        """
        try:
            self._encoder = VideoEncoder(*self._size, self._options.video)
        except HostError as error:
            if not self._options.video.codec:
                raise
            logger.warning("%s", error.message)
            self._forget_codec()
            self._encoder = VideoEncoder(*self._size, self._options.video)
        self._fresh_encoder = True

    def frame(self, job: Job, *, key_wanted: bool) -> None:
        try:
            jump = self._place(job.pts)
            frame = None if jump is None or self._encoder is None else self._encoder.convert(job.array)
        finally:
            if job.on_done is not None:
                job.on_done()
        if frame is None or jump is None:
            self._counters.dropped_pts_order += 1
            return
        interval = round(self._options.key_frame_interval_s * TICKS_PER_S)
        key = key_wanted or jump or self._fresh_encoder or job.pts - self._segment_pts >= interval
        if key:
            self._segment_pts = job.pts
        self._last_encoder_pts = job.pts + self._encoder_offset
        self._in_encoder[self._last_encoder_pts] = (job, jump)
        self._encode(frame, key_frame=key)

    def audio(self, packet: AudioPacket) -> None:
        if self._counters.segments == 0:
            if len(self._early_audio) == EARLY_AUDIO_PACKETS:
                self._counters.dropped_audio += 1
            self._early_audio.append(packet)
            return
        track = self._path.track(packet.info)
        if track is None:
            self._counters.dropped_audio += 1
            return
        if track != self._muxer.audio:
            self._announce(track)
        for pts, data in self._path.convert(packet):
            self._send_audio(pts, data)

    def finish(self) -> None:
        """Deliver what encoder and audio path still hold."""
        if self._last_pts is None or self._encoder is None:
            return
        for coded in self._encoder.encode(None):
            self._send_video(coded)
        for pts, data in self._path.flush():
            self._send_audio(pts, data)

    def release(self) -> None:
        """Free the encoder's memory now, whoever still holds the object."""
        self._encoder = None
        self._in_encoder.clear()
        self._early_audio.clear()

    def _place(self, pts: int) -> bool | None:
        """Whether the timeline jumps at this frame; None when the frame is out of order."""
        first = self._last_pts is None
        step = 0 if self._last_pts is None else pts - self._last_pts
        jump = is_jump(step)
        if not first and not jump and step <= 0:
            return None
        if jump:
            self._encoder_offset = self._last_encoder_pts + ENCODER_STEP_TICKS - pts
        self._last_pts = pts
        if first:
            self._drop_stale_audio(pts)
        return jump

    def _drop_stale_audio(self, video_pts: int) -> None:
        kept = [
            packet
            for packet in self._early_audio
            if video_pts - packet.pts * packet.time_base * TICKS_PER_S <= EARLY_AUDIO_TICKS
        ]
        self._counters.dropped_audio += len(self._early_audio) - len(kept)
        self._early_audio = deque(kept, maxlen=EARLY_AUDIO_PACKETS)

    def _encode(self, frame: av.VideoFrame, *, key_frame: bool) -> None:
        if self._encoder is None:
            return
        try:
            for coded in self._encoder.encode(frame, self._last_encoder_pts, key_frame=key_frame):
                self._fresh_encoder = False
                self._send_video(coded)
        except av.FFmpegError as error:
            self._reopen(error)

    def _reopen(self, error: av.FFmpegError) -> None:
        self._counters.reopened += 1
        if self._counters.reopened > MAX_REOPENS:
            raise HostError(f"the video encoder failed {MAX_REOPENS + 1} times: {error.strerror}") from error
        logger.warning("The video encoder %s failed (%s); opening a new one", self.codec_name, error.strerror)
        self._in_encoder.clear()
        self._forget_codec()
        self.open()

    def _forget_codec(self) -> None:
        """From now on the one that is known to work everywhere: software, where FFmpeg has it."""
        self._options = replace(self._options, video=replace(self._options.video, codec=None))

    def _send_video(self, coded: CodedFrame) -> None:
        job, jump = self._in_encoder.pop(coded.pts, (None, False))
        pts = job.pts if job else coded.pts - self._encoder_offset
        dts = pts - coded.pts + coded.dts
        if self._on_coded is not None:
            self._on_coded(CodedFrame(coded.data, pts, dts, coded.key_frame))
        cut, head = None, b""
        if coded.key_frame:
            cut = Cut(self._counters.segments, pts, jump)
            head = self._muxer.tables()
            self._counters.segments += 1
        unit = self._muxer.video_unit(coded.data, pts, dts, key_frame=coded.key_frame, discontinuity=jump)
        self._counters.frames += 1
        self._send(head + unit, cut, job.stamps if job else None)
        while self._early_audio:
            self.audio(self._early_audio.popleft())

    def _send_audio(self, pts: int, data: bytes) -> None:
        step = 1 if self._last_audio_pts is None else pts - self._last_audio_pts
        if step <= 0 and not is_jump(step):
            self._counters.dropped_pts_order += 1
            return
        if pts < 0 <= self._segment_pts:
            # Encoder delay before a stream that starts at 0: as 33 bits it would read as 26 hours.
            self._counters.dropped_audio += 1
            return
        self._last_audio_pts = pts
        self._counters.audio_packets += 1
        if self._on_coded_audio is not None and self._muxer.audio and self._muxer.audio.codec == "opus":
            self._on_coded_audio(data, pts)
        self._send(self._muxer.audio_unit(data, pts), None, None)

    def _announce(self, track: AudioTrack) -> None:
        """Audio that nobody announced: new tables at once, and a segment that begins with them soon."""
        self._muxer.set_audio(track)
        self._send(self._muxer.tables(), None, None)
        self._fresh_encoder = True

    def _send(self, data: bytes, cut: Cut | None, stamps: Any) -> None:
        self._counters.sent_bytes += len(data)
        self._on_bytes(data, cut, stamps)
