"""Any audio to Opus at 48 kHz, kept on the input's timeline."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.codec.context import CodecContext
from numpy.typing import NDArray

from ai_runner_base.media._types import TICKS_PER_S, AudioInfo, AudioPacket

logger = logging.getLogger(__name__)

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 960
SYNC_TOLERANCE_SAMPLES = SAMPLE_RATE // 100
"""Jitter of the input's time stamps up to this is ignored; more is repaired by silence or by cutting."""
MAX_SILENCE_SAMPLES = SAMPLE_RATE
"""A longer hole is left in the output as a hole."""
_SAMPLE_TIME_BASE = Fraction(1, SAMPLE_RATE)
BIT_RATE_PER_CHANNEL = 64_000


class OpusTranscoder:
    """Decodes, resamples and encodes one audio track.

    :param channels: of the output, 1 or 2
    """

    def __init__(self, info: AudioInfo, channels: int) -> None:
        self._decoder = cast(AudioCodecContext, CodecContext.create(info.codec, "r"))
        if info.extradata:
            self._decoder.extradata = info.extradata
        if info.sample_rate:
            self._decoder.sample_rate = info.sample_rate
        self._layout = "mono" if channels == 1 else "stereo"
        self._channels = 1 if channels == 1 else 2
        self._resampler = self._new_resampler()
        self._encoder = CodecContext.create("libopus", "w")
        self._encoder.sample_rate = SAMPLE_RATE
        self._encoder.layout = self._layout
        self._encoder.format = "s16"
        self._encoder.time_base = _SAMPLE_TIME_BASE
        self._encoder.bit_rate = BIT_RATE_PER_CHANNEL * self._channels
        self._encoder.open()
        self._samples: NDArray[np.int16] = np.zeros((0, self._channels), np.int16)
        self._position: int | None = None
        self.invalid_packets = 0

    def convert(self, packet: AudioPacket) -> Iterator[tuple[int, bytes]]:
        """Opus packets that this packet completes.

        :returns: pairs of PTS in 1/90000 s and data
        """
        coded = av.Packet(packet.data)
        coded.pts = coded.dts = packet.pts
        coded.time_base = packet.time_base
        try:
            frames = self._decoder.decode(coded)
        except av.FFmpegError as error:
            self.invalid_packets += 1
            logger.debug("Audio packet dropped: %s", error)
            return
        at = round(packet.pts * packet.time_base * SAMPLE_RATE)
        for frame in frames:
            samples = self._resample(frame)
            yield from self._append(at, samples)
            at += round(frame.samples * SAMPLE_RATE / frame.sample_rate)

    def flush(self) -> Iterator[tuple[int, bytes]]:
        """The rest, padded with silence to a whole packet."""
        rest = len(self._samples) % FRAME_SAMPLES
        if rest and self._position is not None:
            self._samples = np.pad(self._samples, ((0, FRAME_SAMPLES - rest), (0, 0)))
            yield from self._encode_full()
        yield from self._packets(None)

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler(format="s16", layout=self._layout, rate=SAMPLE_RATE)

    def _resample(self, frame: AudioFrame) -> NDArray[np.int16]:
        frame.pts = None  # the timeline is ours; the resampler's own would smooth over holes
        try:
            parts = self._resampler.resample(frame)
        except ValueError:  # rate or layout of the input changed
            self._resampler = self._new_resampler()
            parts = self._resampler.resample(frame)
        arrays = [part.to_ndarray().reshape(-1, self._channels) for part in parts]
        return np.concatenate(arrays) if arrays else np.zeros((0, self._channels), np.int16)

    def _append(self, at: int, samples: NDArray[np.int16]) -> Iterator[tuple[int, bytes]]:
        """Put samples where their time stamp wants them."""
        if self._position is None:
            self._position = at
        error = at - (self._position + len(self._samples))
        if error > MAX_SILENCE_SAMPLES or error < -MAX_SILENCE_SAMPLES:
            self._samples = np.zeros((0, self._channels), np.int16)
            self._position = at
        elif error > SYNC_TOLERANCE_SAMPLES:
            self._samples = np.pad(self._samples, ((0, error), (0, 0)))
        elif error < -SYNC_TOLERANCE_SAMPLES:
            samples = samples[-error:]
        self._samples = np.concatenate((self._samples, samples))
        yield from self._encode_full()

    def _encode_full(self) -> Iterator[tuple[int, bytes]]:
        while len(self._samples) >= FRAME_SAMPLES and self._position is not None:
            block = np.ascontiguousarray(self._samples[:FRAME_SAMPLES]).reshape(1, -1)
            frame = AudioFrame.from_ndarray(block, format="s16", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._position, _SAMPLE_TIME_BASE
            self._samples = self._samples[FRAME_SAMPLES:]
            self._position += FRAME_SAMPLES
            yield from self._packets(frame)

    def _packets(self, frame: AudioFrame | None) -> Iterator[tuple[int, bytes]]:
        for packet in self._encoder.encode(frame):
            if packet.pts is not None:
                yield round(packet.pts * TICKS_PER_S / SAMPLE_RATE), bytes(packet)
