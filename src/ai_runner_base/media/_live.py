"""The encode thread of a live stream: frames and audio in, MPEG-TS segments out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._encode_thread import EncodeThread
from ai_runner_base.media._live_line import Job, LiveEncoderOptions, LiveLine
from ai_runner_base.media._types import TICKS_PER_S, AudioInfo, AudioPacket, Cut
from ai_runner_base.media._video_encoder import CodedFrame

MAX_WAITING_AUDIO = 400


class LiveEncoder(EncodeThread):
    """Encodes on a thread of its own and calls back with MPEG-TS as soon as a frame is encoded.

    Every segment begins with PAT, PMT, SPS, PPS and an IDR frame. Output keeps the input's timeline; a frame
    whose PTS does not increase is dropped, a jump of the timeline begins a new segment that is marked.

    :param on_bytes: data, the `Cut` when they begin a segment, and the frame's stamps (None for audio)
    :param on_coded: the same pictures just before, as plain access units on the input's timeline
    :param on_coded_audio: each packet of Opus with its PTS in 1/90000 s, likewise; other codecs are not told
    :param on_end: once, last: None after `close`, or why no more comes
    :param audio: what the input announces, so that the first segment announces it too; audio that shows up
        later is announced in a new segment of its own
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        on_bytes: Callable[[bytes, Cut | None, Any], None],
        on_coded: Callable[[CodedFrame], None] | None = None,
        on_coded_audio: Callable[[bytes, int], None] | None = None,
        on_end: Callable[[RunnerError | None], None] | None = None,
        audio: AudioInfo | None = None,
        options: LiveEncoderOptions | None = None,
    ) -> None:
        super().__init__("encode", on_end)
        self.width = width
        self.height = height
        self._options = options or LiveEncoderOptions()
        self._frames: deque[Job] = deque()
        self._audio: deque[AudioPacket] = deque()
        self._key_wanted = False
        self._line = LiveLine(
            width, height, self._options, audio, on_bytes, self.counters, on_coded, on_coded_audio
        )

    @property
    def encoded_by(self) -> str:
        """FFmpeg's name of the encoder; empty while there is none."""
        return self._line.codec_name

    def submit(
        self,
        array: NDArray[np.uint8],
        pts: int,
        time_base: Fraction,
        stamps: Any = None,
        on_done: Callable[[], None] | None = None,
    ) -> bool:
        """Hand over a frame; never blocks.

        :param array: (H, W, 3) uint8 RGB, C-contiguous, read in place; another size is rescaled
        :param stamps: given back with the frame's bytes
        :param on_done: called exactly once, as soon as `array` may be reused, encoded or not
        :returns: False when a frame had to be dropped: an older one, or this one after `close`
        """
        job = Job(array, round(pts * time_base * TICKS_PER_S), stamps, on_done)
        dropped = None
        with self._changed:
            if self._closing:
                dropped = job
            else:
                if len(self._frames) >= self._options.queue_frames:
                    dropped = self._frames.popleft()
                    self.counters.dropped_queue_full += 1
                self._frames.append(job)
                self._changed.notify()
        if dropped is not None and dropped.on_done is not None:
            dropped.on_done()
        return dropped is None

    def submit_audio(self, packet: AudioPacket) -> bool:
        """Hand over an audio packet; never blocks.

        :returns: False when audio had to be dropped
        """
        with self._changed:
            if self._closing:
                return False
            full = len(self._audio) >= MAX_WAITING_AUDIO
            if full:
                self._audio.popleft()
                self.counters.dropped_audio += 1
            self._audio.append(packet)
            self._changed.notify()
            return not full

    def request_key_frame(self) -> None:
        """Begin a new segment at the next frame."""
        self._key_wanted = True

    def close(self, timeout_s: float = 2.0) -> bool:
        """Encode what waits, deliver the rest, call `on_end`.

        :returns: whether the thread ended in time
        """
        return super().close(timeout_s)

    def _work(self) -> None:
        self._line.open()
        self._encode()
        self._line.finish()

    def _encode(self) -> None:
        """Audio first: it is cheap, and late audio is heard."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._audio or self._closing)
                packet = self._audio.popleft() if self._audio else None
                job = self._frames.popleft() if packet is None and self._frames else None
            if packet is not None:
                self._line.audio(packet)
            elif job is not None:
                key_wanted, self._key_wanted = self._key_wanted, False
                self._line.frame(job, key_wanted=key_wanted)
            else:
                return

    def _let_go(self) -> None:
        self._line.release()
        while self._frames:
            job = self._frames.popleft()
            if job.on_done is not None:
                job.on_done()
