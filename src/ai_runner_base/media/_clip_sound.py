"""The test clip's sound: a quiet chord, and a beep at every full second, exactly while the lamp is lit."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from numpy.typing import NDArray

from ai_runner_base.media._clip_scene import FLASH_S
from ai_runner_base.media._types import TICKS_PER_S, TIME_BASE, AudioInfo, AudioPacket

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 960
CHORD_HZ = (220.0, 277.18, 329.63)
BEEP_HZ = 1000.0
CHORD_LEVEL, BEEP_LEVEL = 0.012, 0.4


def samples(start: int, count: int) -> NDArray[np.int16]:
    """Mono sound from a sample number on: (count,) int16 at 48 kHz."""
    time_s = (start + np.arange(count)) / SAMPLE_RATE
    chord = np.sum([np.sin(2 * np.pi * hz * time_s) for hz in CHORD_HZ], axis=0) * CHORD_LEVEL
    beep = np.sin(2 * np.pi * BEEP_HZ * time_s) * BEEP_LEVEL * (time_s % 1.0 < FLASH_S)
    wave: NDArray[np.int16] = ((chord + beep) * 32767).astype(np.int16)
    return wave


def audio_frame(start: int, count: int = FRAME_SAMPLES) -> AudioFrame:
    """The same as a PyAV frame, with its PTS in samples."""
    frame = AudioFrame.from_ndarray(samples(start, count).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
    return frame


class OpusSound:
    """The sound as Opus packets, in order."""

    def __init__(self) -> None:
        self._codec = CodecContext.create("libopus", "w")
        self._codec.sample_rate, self._codec.layout, self._codec.format = SAMPLE_RATE, "mono", "s16"
        self._codec.time_base = Fraction(1, SAMPLE_RATE)
        self._codec.open()
        self._next = 0
        self.info = AudioInfo("opus", SAMPLE_RATE, 1)

    def until(self, time_s: float, start_pts: int, received_ns: int) -> Iterator[AudioPacket]:
        """Packets whose sound lies before a time of the clip.

        :param start_pts: of the clip's first picture, in 1/90000 s
        """
        while self._next < time_s * SAMPLE_RATE:
            for packet in self._codec.encode(audio_frame(self._next)):
                yield self._packet(packet, start_pts, received_ns)
            self._next += FRAME_SAMPLES

    def _packet(self, packet: av.Packet[av.stream.Stream], start_pts: int, received_ns: int) -> AudioPacket:
        pts = start_pts + round((packet.pts or 0) * TICKS_PER_S / SAMPLE_RATE)
        duration = FRAME_SAMPLES * TICKS_PER_S // SAMPLE_RATE
        return AudioPacket(bytes(packet), pts, TIME_BASE, self.info, duration, received_ns)
