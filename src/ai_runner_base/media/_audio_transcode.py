"""One audio track from any codec to another, kept on the input's timeline."""

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
from av.stream import Stream
from numpy.typing import NDArray

from ai_runner_base.media._types import TICKS_PER_S, AudioInfo, AudioPacket

logger = logging.getLogger(__name__)

SAMPLE_RATE = 48_000
DEFAULT_FRAME_SAMPLES = 960
SYNC_TOLERANCE_SAMPLES = SAMPLE_RATE // 100
"""Jitter of the input's time stamps up to this is ignored; more is repaired by silence or by cutting."""
MAX_SILENCE_SAMPLES = SAMPLE_RATE
"""A longer hole is left in the output as a hole."""
BIT_RATE_PER_CHANNEL = 64_000


def layout_name(channels: int) -> str:
    """What a track of so many channels becomes: mono stays mono, everything else is stereo."""
    return "mono" if channels == 1 else "stereo"


def set_up_encoder(encoder: AudioCodecContext, channels: int) -> None:
    """48 kHz, mono or stereo, and a usual bit rate; the encoder is not open yet."""
    encoder.sample_rate = SAMPLE_RATE
    encoder.layout = layout_name(channels)
    encoder.time_base = Fraction(1, SAMPLE_RATE)
    encoder.bit_rate = BIT_RATE_PER_CHANNEL * encoder.layout.nb_channels


class AudioTranscoder:
    """Decodes, resamples to 48 kHz and encodes one track.

    Samples are laid where their time stamps want them, so sound stays within 10 ms of its pictures.

    :param encoder: made ready with `set_up_encoder`
    :raises av.FFmpegError: the encoder does not open
    """

    def __init__(self, info: AudioInfo, encoder: AudioCodecContext) -> None:
        self._decoder = cast(AudioCodecContext, CodecContext.create(info.codec, "r"))
        if info.extradata:
            self._decoder.extradata = info.extradata
        if info.sample_rate:
            self._decoder.sample_rate = info.sample_rate
        if info.codec.startswith("pcm_"):  # says nothing about itself
            self._decoder.layout = layout_name(info.channels)
        self._encoder = encoder
        self._encoder.open(strict=False)
        self._frame_samples = encoder.frame_size or DEFAULT_FRAME_SAMPLES
        self._layout = encoder.layout.name
        self._channels = encoder.layout.nb_channels
        self._resampler = self._new_resampler()
        self._samples: NDArray[np.int16] = np.zeros((0, self._channels), np.int16)
        self._position: int | None = None
        self.invalid_packets = 0

    def convert(self, packet: AudioPacket) -> Iterator[av.Packet[Stream]]:
        """Coded packets that this packet completes, with PTS in 1/48000 s."""
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
            yield from self._append(at, self._resample(frame))
            at += round(frame.samples * SAMPLE_RATE / frame.sample_rate)

    def flush(self) -> Iterator[av.Packet[Stream]]:
        """The rest, padded with silence to a whole packet."""
        rest = len(self._samples) % self._frame_samples
        if rest:
            self._samples = np.pad(self._samples, ((0, self._frame_samples - rest), (0, 0)))
            yield from self._encode_full()
        yield from self._encoder.encode(None)

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

    def _append(self, at: int, samples: NDArray[np.int16]) -> Iterator[av.Packet[Stream]]:
        """Put samples where their time stamp wants them."""
        if self._position is None:
            self._position = at
        error = at - (self._position + len(self._samples))
        if abs(error) > MAX_SILENCE_SAMPLES:
            self._samples = np.zeros((0, self._channels), np.int16)
            self._position = at
        elif error > SYNC_TOLERANCE_SAMPLES:
            self._samples = np.pad(self._samples, ((0, error), (0, 0)))
        elif error < -SYNC_TOLERANCE_SAMPLES:
            samples = samples[-error:]
        self._samples = np.concatenate((self._samples, samples))
        yield from self._encode_full()

    def _encode_full(self) -> Iterator[av.Packet[Stream]]:
        size = self._frame_samples
        while len(self._samples) >= size and self._position is not None:
            block = np.ascontiguousarray(self._samples[:size]).reshape(1, -1)
            frame = AudioFrame.from_ndarray(block, format="s16", layout=self._layout)
            frame.sample_rate, frame.pts = SAMPLE_RATE, self._position
            frame.time_base = Fraction(1, SAMPLE_RATE)
            self._samples = self._samples[size:]
            self._position += size
            yield from self._encoder.encode(frame)


class OpusTranscoder:
    """The same with Opus at the end and 1/90000 s as the clock.

    :param channels: of the output, 1 or 2
    """

    def __init__(self, info: AudioInfo, channels: int) -> None:
        encoder = CodecContext.create("libopus", "w")
        set_up_encoder(encoder, channels)
        encoder.format = "s16"
        self._transcoder = AudioTranscoder(info, encoder)

    def convert(self, packet: AudioPacket) -> Iterator[tuple[int, bytes]]:
        """Pairs of PTS and Opus packet that this packet completes."""
        return self._ticks(self._transcoder.convert(packet))

    def flush(self) -> Iterator[tuple[int, bytes]]:
        """The rest."""
        return self._ticks(self._transcoder.flush())

    @staticmethod
    def _ticks(packets: Iterator[av.Packet[Stream]]) -> Iterator[tuple[int, bytes]]:
        for packet in packets:
            if packet.pts is not None:
                yield round(packet.pts * TICKS_PER_S / SAMPLE_RATE), bytes(packet)
