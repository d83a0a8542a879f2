"""Real clips, one-call decoding and encoding, and a strict look at MPEG-TS, for the tests of `media`."""

from __future__ import annotations

import functools
import io
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ai_runner_base.errors import RunnerError
from ai_runner_base.media import (
    TICKS_PER_S,
    AudioInfo,
    AudioPacket,
    BytePipe,
    ClipOptions,
    Cut,
    Decoder,
    DecoderOptions,
    Fitter,
    LiveEncoder,
    LiveEncoderOptions,
    MediaInfo,
    Picture,
    encode_ts_clip,
)

WAIT_S = 30.0
SMALL = ClipOptions(width=320, height=240, audio=None)
PACKET = 188


@functools.cache
def ts_clip(seconds: float = 1.0, options: ClipOptions = SMALL) -> bytes:
    """Some seconds of the clip in MPEG-TS by FFmpeg's muxer, made once per run."""
    return encode_ts_clip(seconds, options)


class Receiver:
    """Collects everything that a decoder gives.

    :param options: of the decoder
    """

    def __init__(
        self, source: BytePipe | str | Path, options: DecoderOptions | None = None, *, audio: bool = True
    ) -> None:
        self.pictures: list[Picture] = []
        self.audio: list[AudioPacket] = []
        self.infos: list[MediaInfo] = []
        self.error: RunnerError | None = None
        self.ends = 0
        self._changed = threading.Condition()
        self.decoder = Decoder(
            source,
            on_video=self._on_video,
            on_audio=self._on_audio if audio else None,
            on_info=self.infos.append,
            on_end=self._on_end,
            options=options,
        )

    def wait_pictures(self, count: int) -> None:
        """:raises AssertionError: they did not come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.pictures) >= count, WAIT_S), (
                f"{len(self.pictures)} of {count} pictures"
            )

    def finish(self) -> Receiver:
        """Wait for the end of the input."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.ends > 0, WAIT_S), "no on_end"
        assert self.decoder.stop(WAIT_S)
        return self

    @property
    def pts(self) -> list[int]:
        return [picture.pts for picture in self.pictures]

    def _on_video(self, picture: Picture) -> None:
        with self._changed:
            self.pictures.append(picture)
            self._changed.notify_all()

    def _on_audio(self, packet: AudioPacket) -> None:
        self.audio.append(packet)

    def _on_end(self, error: RunnerError | None) -> None:
        with self._changed:
            self.error = error
            self.ends += 1
            self._changed.notify_all()


def decode_bytes(data: bytes, options: DecoderOptions | None = None, *, piece: int = 1 << 16) -> Receiver:
    """Everything that is in these bytes, written in pieces."""
    pipe = BytePipe(1 << 30)
    receiver = Receiver(pipe, options)
    receiver.decoder.start()
    for at in range(0, len(data), piece):
        pipe.write(data[at : at + piece])
    pipe.close()
    return receiver.finish()


def decode_file(path: str | Path, options: DecoderOptions | None = None) -> Receiver:
    """Everything that is in this file."""
    receiver = Receiver(path, options)
    receiver.decoder.start()
    return receiver.finish()


@dataclass
class Output:
    """What a live encoder gave."""

    parts: list[tuple[bytes, Cut | None, Any]] = field(default_factory=list)
    ends: list[RunnerError | None] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return b"".join(data for data, _, _ in self.parts)

    @property
    def cuts(self) -> list[Cut]:
        return [cut for _, cut, _ in self.parts if cut is not None]

    @property
    def segments(self) -> list[bytes]:
        segments: list[bytes] = []
        for data, cut, _ in self.parts:
            if cut is not None:
                segments.append(b"")
            if segments:
                segments[-1] += data
        return segments


def live_encoder(
    width: int = 320,
    height: int = 240,
    *,
    audio: AudioInfo | None = None,
    options: LiveEncoderOptions | None = None,
) -> tuple[LiveEncoder, Output]:
    """A running encoder whose queue is long enough for any test, and where its output goes."""
    output = Output()
    encoder = LiveEncoder(
        width,
        height,
        on_bytes=lambda data, cut, stamps: output.parts.append((data, cut, stamps)),
        on_end=output.ends.append,
        audio=audio,
        options=options or LiveEncoderOptions(queue_frames=10_000),
    )
    encoder.start()
    return encoder, output


def encode_frames(
    pts: list[int], *, width: int = 320, height: int = 240, options: LiveEncoderOptions | None = None
) -> Output:
    """A grey ramp as a live stream: one frame for every PTS in 1/90000 s."""
    encoder, output = live_encoder(width, height, options=options)
    for index, at in enumerate(pts):
        encoder.submit(grey(width, height, index), at, Fraction(1, TICKS_PER_S), index)
    assert encoder.close(WAIT_S)
    return output


def grey(width: int, height: int, level: int) -> NDArray[np.uint8]:
    """An even picture."""
    return np.full((height, width, 3), 16 + level * 3 % 220, np.uint8)


def transcode(
    data: bytes, width: int, height: int, *, options: LiveEncoderOptions | None = None
) -> tuple[Receiver, Output]:
    """Through decoder, fitter and live encoder, as a stream does it without a worker; nothing dropped."""
    pipe = BytePipe(1 << 30)
    receiver = Receiver(pipe)
    fitter = Fitter(width, height)
    line: list[tuple[LiveEncoder, Output]] = []

    def on_info(info: MediaInfo) -> None:
        receiver.infos.append(info)
        if not line:
            line.append(live_encoder(width, height, audio=info.audio, options=options))

    def on_video(picture: Picture) -> None:
        receiver.pictures.append(picture)
        array = np.empty((height, width, 3), np.uint8)
        fitter.into(picture, array)
        line[0][0].submit(array, picture.pts, picture.time_base, picture)

    def on_audio(packet: AudioPacket) -> None:
        receiver.audio.append(packet)
        line[0][0].submit_audio(packet)

    decoder = Decoder(pipe, on_video=on_video, on_audio=on_audio, on_info=on_info, on_end=receiver._on_end)
    receiver.decoder = decoder
    decoder.start()
    pipe.write(data)
    pipe.close()
    receiver.finish()
    assert line[0][0].close(WAIT_S)
    return receiver, line[0][1]


def libav_frames(data: bytes) -> list[av.VideoFrame]:
    """Every picture of a container, by FFmpeg alone."""
    with av.open(io.BytesIO(data)) as container:
        return list(container.decode(video=0))


def libav_pts(data: bytes) -> list[int]:
    """Every picture's PTS, by FFmpeg alone."""
    return [frame.pts for frame in libav_frames(data) if frame.pts is not None]


def to_rgb(picture: Picture, width: int, height: int) -> NDArray[np.uint8]:
    """The picture as a pipeline gets it."""
    out = np.zeros((height, width, 3), np.uint8)
    Fitter(width, height).into(picture, out)
    return out


def sound(data: bytes) -> tuple[NDArray[np.float32], int, float]:
    """Decoded mono samples, their rate, and the time of the first in seconds, by FFmpeg alone."""
    parts, start, rate = [], None, 0
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono")
        for frame in container.decode(audio=0):
            if start is None:
                start, rate = float(frame.pts * frame.time_base), frame.sample_rate
            parts += [part.to_ndarray().ravel() for part in resampler.resample(frame)]
    assert start is not None
    return np.concatenate(parts), rate, start


def ts_packets(data: bytes) -> Iterator[bytes]:
    """The TS packets of clean bytes."""
    assert len(data) % PACKET == 0
    for at in range(0, len(data), PACKET):
        packet = data[at : at + PACKET]
        assert packet[0] == 0x47
        yield packet


def packet_pid(packet: bytes) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


def continuity_errors(data: bytes) -> list[int]:
    """PIDs of the packets whose continuity counter is wrong."""
    last: dict[int, int] = {}
    errors = []
    for packet in ts_packets(data):
        pid, counter, has_payload = packet_pid(packet), packet[3] & 0x0F, packet[3] & 0x10
        if pid in last and has_payload and counter != (last[pid] + 1) % 16:
            errors.append(pid)
        last[pid] = counter
    return errors


def pcr_ticks(data: bytes) -> list[int]:
    """Every clock reference, in 1/90000 s."""
    found = []
    for packet in ts_packets(data):
        if packet[3] & 0x20 and packet[4] and packet[5] & 0x10:
            found.append(int.from_bytes(packet[6:12]) >> 15)
    return found


def count_by_pid(data: bytes) -> dict[int, int]:
    """Number of packets of each PID."""
    counts: dict[int, int] = defaultdict(int)
    for packet in ts_packets(data):
        counts[packet_pid(packet)] += 1
    return dict(counts)
