"""A container with its tracks: H.264 from RGB frames, audio copied or made to fit."""

from __future__ import annotations

import io
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.media._audio_transcode import SAMPLE_RATE, AudioTranscoder, set_up_encoder
from ai_runner_base.media._libav_reader import LIVE_SCHEMES, explain, scheme
from ai_runner_base.media._ts_mux import AUDIO_STREAM_TYPE_OF
from ai_runner_base.media._types import AudioInfo, AudioPacket, EncoderCounters
from ai_runner_base.media._video_encoder import (
    VideoEncoderOptions,
    choose_encoder,
    configure_encoder,
    to_encoder_format,
)

logger = logging.getLogger(__name__)

URL_FORMATS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "srt": "mpegts",
    "udp": "mpegts",
    "rist": "mpegts",
    "tcp": "mpegts",
    "http": "mpegts",
    "https": "mpegts",
}
AUDIO_ENCODERS = ("aac", "libopus", "libmp3lame", "mp2", "pcm_s16le")
"""What audio becomes that the container cannot hold as it is: the first that it can."""
MAX_EARLY_AUDIO = 2000
"""Audio packets held until the first picture; the oldest go first."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file or outgoing URL is written.

    :param crf: x264's constant quality, 0 to 51, lower is better
    :param preset: x264's, from ultrafast to placebo
    :param container: FFmpeg's format name; None: by URL scheme or file ending
    :param queue_frames: frames that may wait; `FileEncoder.submit` blocks beyond that
    :param ffmpeg: options for FFmpeg's muxer and protocol, by their FFmpeg names
    """

    crf: float = 20.0
    preset: str = "veryfast"
    codec: str | None = None
    container: str | None = None
    keep_audio: bool = True
    queue_frames: int = 3
    write_timeout_s: float = 15.0
    ffmpeg: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FileJob:
    array: NDArray[np.uint8]
    pts: int
    time_base: Fraction
    on_done: Callable[[], None] | None


class FileWriter:
    """The container, its tracks, and what goes into them."""

    def __init__(
        self,
        target: str,
        width: int,
        height: int,
        audio: AudioInfo | None,
        options: FileOptions,
        counters: EncoderCounters,
    ) -> None:
        self._target = target
        self._size = (width - width % 2, height - height % 2)
        self._info = audio if options.keep_audio else None
        self._options = options
        self._counters = counters
        self._live = scheme(target) in LIVE_SCHEMES
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        self._transcoder: AudioTranscoder | None = None
        self._to_yuv: Callable[[NDArray[np.uint8]], av.VideoFrame] | None = None
        self._early_audio: deque[AudioPacket] = deque(maxlen=MAX_EARLY_AUDIO)
        self._started = False
        self._time_base = Fraction(1)
        """Of the first frame; in which the others are told."""
        self._last_pts: int | None = None
        self._last_audio_dts: int | None = None

    def open(self) -> None:
        """:raises RunnerError: with the reason."""
        _check_folder(self._target)
        chosen = self._options.container or URL_FORMATS.get(scheme(self._target))
        flv = chosen == "flv" or Path(self._target).suffix.lower() == ".flv"
        # FLV has no negative times: FFmpeg shifts all tracks there. Elsewhere shifting would change the PTS.
        ffmpeg = {} if flv else {"avoid_negative_ts": "disabled"}
        if scheme(self._target) in ("", "file") and Path(self._target).suffix.lower() in (
            ".mp4",
            ".mov",
            ".m4v",
        ):
            ffmpeg["movflags"] = "+faststart"
        if scheme(self._target).startswith("rtsp"):
            ffmpeg["rtsp_transport"] = "tcp"
        ffmpeg |= dict(self._options.ffmpeg)
        try:
            timeout = self._options.write_timeout_s
            self._container = av.open(self._target, "w", format=chosen, options=ffmpeg, timeout=timeout)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise explain(error, self._target, "write") from error
        self._video = self._add_video(self._container)
        if self._info is not None:
            self._add_audio(self._container, self._info)

    def frame(self, job: FileJob) -> None:
        try:
            picture = self._to_yuv(job.array) if self._to_yuv else None
        finally:
            if job.on_done is not None:
                job.on_done()
        if self._video is None or picture is None:
            return
        if self._last_pts is None:
            self._time_base = self._video.codec_context.time_base = job.time_base
        pts = round(
            job.pts * job.time_base / self._time_base
        )  # frames in between may come in a finer time base
        if self._last_pts is not None and pts <= self._last_pts:
            self._counters.dropped_pts_order += 1
            return
        self._last_pts = pts
        picture.pts, picture.time_base = pts, self._time_base
        self._mux(self._video.encode(picture))
        self._counters.frames += 1
        while self._early_audio:
            self._write_audio(self._early_audio.popleft())

    def audio(self, packet: AudioPacket) -> None:
        if self._last_pts is not None:
            self._write_audio(packet)
            return
        if len(self._early_audio) == MAX_EARLY_AUDIO:
            self._counters.dropped_audio += 1
        self._early_audio.append(packet)

    def close(self) -> None:
        """Finish the file."""
        if self._container is None or self._video is None:
            return
        if self._last_pts is not None:
            self._mux(self._video.encode(None))
            if self._transcoder is not None and self._audio is not None:
                for coded in self._transcoder.flush():
                    self._mux_audio(coded)
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise explain(error, self._target, "write") from error

    def release(self) -> None:
        """Free files and memory now, whoever still holds the object; close what can be closed after a failure."""
        try:
            if self._container is not None:
                self._container.close()
        except (av.FFmpegError, OSError) as error:
            logger.debug("Closing %s after a failure: %s", self._target, error)
        self._container = self._video = self._audio = self._transcoder = self._to_yuv = None

    def _add_video(self, container: OutputContainer) -> VideoStream:
        options = VideoEncoderOptions(
            codec=self._options.codec,
            preset=self._options.preset,
            crf=self._options.crf,
            threads=0,
            realtime=self._live or container.format.name == "flv",  # no B-frames: they need negative times
        )
        name = choose_encoder(*self._size, options)
        try:
            stream = cast(VideoStream, container.add_stream(name))
        except ValueError as error:
            raise CallerError(
                f"{self._target}: the container {container.format.name} cannot hold H.264",
                hint="choose .mp4, .mkv, .ts or .flv",
            ) from error
        configure_encoder(stream.codec_context, name, *self._size, options)
        self._to_yuv = to_encoder_format(name, *self._size)
        return stream

    def _add_audio(self, container: OutputContainer, info: AudioInfo) -> None:
        if info.template is not None and _can_copy(container.format.name, info):
            self._audio = container.add_stream_from_template(info.template)
            return
        for name in AUDIO_ENCODERS:
            if name not in av.codecs_available:
                continue
            try:
                stream = cast(AudioStream, container.add_stream(name, rate=SAMPLE_RATE))
                set_up_encoder(stream.codec_context, info.channels)
                self._transcoder = AudioTranscoder(info, stream.codec_context)
            except (ValueError, av.FFmpegError) as error:
                logger.debug("%s does not go into %s: %s", name, self._target, error)
                continue
            self._audio = stream
            return
        raise HostError(
            f"{self._target}: no audio codec that this FFmpeg writes fits into {container.format.name}",
            hint="leave the audio out, or choose .mkv",
        )

    def _write_audio(self, packet: AudioPacket) -> None:
        if self._audio is None:
            return
        if self._transcoder is not None:
            for coded in self._transcoder.convert(packet):
                self._mux_audio(coded)
            return
        coded = av.Packet(packet.data)
        coded.pts = coded.dts = packet.pts
        coded.duration = packet.duration or 0
        coded.time_base = packet.time_base
        self._mux_audio(coded)

    def _mux_audio(self, packet: Any) -> None:
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None or (self._last_audio_dts is not None and dts <= self._last_audio_dts):
            self._counters.dropped_pts_order += 1
            return
        self._last_audio_dts = dts
        packet.stream = self._audio
        self._counters.audio_packets += 1
        self._mux([packet])

    def _mux(self, packets: list[Any]) -> None:
        if self._container is None:
            return
        try:
            for packet in packets:
                self._counters.sent_bytes += packet.size
                self._container.mux_one(packet)
        except (av.FFmpegError, OSError) as error:
            raise explain(error, self._target, "write") from error


def _check_folder(target: str) -> None:
    """FFmpeg opens the file with the first frame only; a wrong path should be told before that."""
    folder = Path(target.removeprefix("file://")).parent
    if scheme(target) in ("", "file") and not folder.is_dir():
        raise CallerError(
            f"cannot write {target}: No such file or directory: {folder}", hint="check the path"
        )


def _can_copy(container: str, info: AudioInfo) -> bool:
    """Whether a container can hold a track as it is: a header with just that track is written to memory.

    MPEG-TS takes any codec without a word, also those that no reader would find in it.
    """
    if container in ("mpegts", "rtsp"):
        return info.codec in AUDIO_STREAM_TYPE_OF
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(info.template)
            trial.start_encoding()
    except (ValueError, av.FFmpegError) as error:
        logger.debug("%s cannot be copied into %s: %s", info.codec, container, error)
        return False
    return True
