"""Files and URLs through FFmpeg's own demuxers."""

from __future__ import annotations

import io
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ai_runner_base.errors import CallerError, HostError, PeerError, RunnerError
from ai_runner_base.media._reader import DecoderOptions, Delivery
from ai_runner_base.media._ts_reader import TsReader
from ai_runner_base.media._types import TIME_BASE, AudioInfo, AudioPacket, MediaInfo, VideoInfo
from ai_runner_base.media._video import SOFTWARE, VideoDecoder, decoder_threads

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "rist", "tcp")
TS_SCHEMES = ("srt", "udp", "rist")
"""Protocols that carry MPEG-TS and nothing else in practice: read raw, so that our own demuxer takes them."""
# Without the parser no frame is held back until the next one. Not `nobuffer`: it throws the first frames away.
LIVE_OPTIONS = {"fflags": "noparse", "probesize": "500000", "analyzeduration": "1000000"}


def scheme(target: str) -> str:
    """The URL's scheme in lower case; empty for a path."""
    head, mark, _ = target.partition("://")
    return head.lower() if mark else ""


def is_ts_url(source: str) -> bool:
    """Whether the URL is live MPEG-TS by its protocol."""
    return scheme(source) in TS_SCHEMES


def is_live(source: str, options: DecoderOptions) -> bool:
    """Whether delay matters more than throughput."""
    return scheme(source) in LIVE_SCHEMES if options.live is None else options.live


def open_input(source: str, options: DecoderOptions, **kwargs: Any) -> InputContainer:
    """Open a path or URL.

    :raises RunnerError: with the reason in words
    """
    ffmpeg = dict(LIVE_OPTIONS) if is_live(source, options) else {}
    if scheme(source).startswith("rtsp"):
        ffmpeg["rtsp_transport"] = "tcp"
    ffmpeg |= options.ffmpeg
    timeouts = (options.open_timeout_s, options.read_timeout_s)
    try:
        container = av.open(source, "r", options=ffmpeg, timeout=timeouts, **kwargs)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise explain(error, source, "open") from error
    return cast(InputContainer, container)


def explain(error: Exception, target: str, verb: str) -> RunnerError:
    """What FFmpeg's error means, and whose it is.

    :param verb: what was tried: open, read, write
    """
    text = getattr(error, "strerror", None) or str(error)
    message = f"cannot {verb} {target}: {text}"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return HostError(
            f"cannot {verb} {target}: this FFmpeg has no protocol {scheme(target)!r}",
            hint="install an FFmpeg build that has it, or use another protocol",
        )
    if isinstance(error, av.error.ExitError):
        return PeerError(f"cannot {verb} {target}: no answer in time", hint="check that the other end sends")
    if scheme(target) not in ("", "file"):
        return PeerError(message, hint="check the address and that the other end is up")
    if isinstance(error, av.error.InvalidDataError):
        return CallerError(f"{message} (first bytes {_first_bytes(target)})", hint="it is no media file")
    return CallerError(message, hint="check the path")


def _first_bytes(target: str) -> str:
    try:
        with Path(target.removeprefix("file://")).open("rb") as file:
            data = file.read(16)
    except OSError:
        return "unreadable"
    return f"{data.hex(' ')} {data!r}" if data else "none: the file is empty"


def read_ts_url(source: str, reader: TsReader, options: DecoderOptions) -> None:
    """Read a live MPEG-TS URL through FFmpeg's protocol and our demuxer."""
    with open_input(source, options, format="data") as container:
        try:
            for packet in container.demux(container.streams[0]):
                if packet.size:
                    reader.feed(bytes(packet), time.monotonic_ns())
        except av.FFmpegError as error:
            raise explain(error, source, "read") from error
    reader.end()


class LibavReader:
    """Reads a container with FFmpeg's demuxer: the first video and the first audio track."""

    def __init__(self, source: str, delivery: Delivery, options: DecoderOptions) -> None:
        self._source = source
        self._delivery = delivery
        self._options = options
        self._live = is_live(source, options)

    def run(self) -> None:
        """Read to the end.

        :raises RunnerError: it cannot be opened or read, or holds no picture
        """
        with open_input(self._source, self._options) as container:
            video = next(iter(container.streams.video), None)
            audio = next(iter(container.streams.audio), None)
            if video is None:
                kinds = ", ".join(f"{item.type} {_codec_name(item)}" for item in container.streams)
                raise CallerError(f"{self._source} has no video track, only: {kinds or 'nothing'}")
            audio_info = _audio_info(audio) if audio else None
            self._delivery.tell(_media_info(container, video, audio_info))
            try:
                self._packets(container, video, audio if self._delivery.wants_audio else None, audio_info)
            except av.FFmpegError as error:
                raise explain(error, self._source, "read") from error
        if self._delivery.counters.pictures == 0:
            raise CallerError(f"{self._source} holds no picture that can be decoded: truncated or damaged")

    def _packets(
        self,
        container: InputContainer,
        video: VideoStream,
        audio: AudioStream | None,
        audio_info: AudioInfo | None,
    ) -> None:
        decoder = VideoDecoder(
            _CodecMaker(video, live=self._live),
            video.time_base or TIME_BASE,
            self._delivery.counters,
            self._options.policy,
        )
        self._delivery.decoded_by = SOFTWARE
        for packet in container.demux([stream for stream in (video, audio) if stream]):
            self._delivery.check()
            received_ns = time.monotonic_ns()
            self._delivery.counters.received_bytes += packet.size
            if packet.size == 0:
                continue  # PyAV's end mark of a track
            if packet.dts is None and packet.pts is None:
                self._delivery.counters.skipped_without_pts += 1
            elif packet.stream_index == video.index:
                self._delivery.pictures(decoder.decode(packet, received_ns))
            elif audio_info is not None:
                self._audio(packet, audio_info, received_ns)
        self._delivery.pictures(decoder.flush())

    def _audio(self, packet: av.Packet[Stream], info: AudioInfo, received_ns: int) -> None:
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None or packet.time_base is None:
            self._delivery.counters.skipped_without_pts += 1
            return
        self._delivery.audio(
            AudioPacket(bytes(packet), pts, packet.time_base, info, packet.duration, received_ns)
        )


class _CodecMaker:
    """The track's own decoder at first; after that fresh ones with the same parameters."""

    def __init__(self, stream: VideoStream, *, live: bool) -> None:
        self._stream = stream
        self._live = live
        self._first = True

    def __call__(self) -> VideoCodecContext:
        known = self._stream.codec_context
        if self._first:
            codec, self._first = known, False
        else:
            codec = cast(VideoCodecContext, CodecContext.create(known.name, "r"))
            codec.extradata = known.extradata
            codec.width, codec.height, codec.pix_fmt = known.width, known.height, known.pix_fmt
        codec.thread_type = "SLICE" if self._live else "AUTO"
        codec.thread_count = decoder_threads()
        return codec


def _media_info(container: InputContainer, video: VideoStream, audio: AudioInfo | None) -> MediaInfo:
    duration_s = container.duration / av.time_base if container.duration else None
    rate = video.average_rate or video.guessed_rate
    frames = video.frames or (round(duration_s * rate) if duration_s and rate else None)
    context = video.codec_context
    info = VideoInfo(context.name, context.width, context.height, Fraction(rate) if rate else None)
    return MediaInfo(container.format.name, info, audio, duration_s, frames)


def _audio_info(stream: AudioStream) -> AudioInfo:
    context = stream.codec_context
    return AudioInfo(
        context.codec.canonical_name,
        context.sample_rate,
        context.layout.nb_channels,
        context.extradata,
        _template(stream),
    )


def _codec_name(stream: Stream) -> str:
    context = stream.codec_context
    return context.name if context is not None else "of unknown codec"


def _template(stream: AudioStream) -> Any:
    """A copy of the track's parameters that outlives the input, in a container that is never written."""
    shelf = av.open(io.BytesIO(), "w", format="matroska")
    try:
        return shelf.add_stream_from_template(stream)
    except (ValueError, av.FFmpegError):
        return None
