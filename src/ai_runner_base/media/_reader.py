"""What the two readers share: the callbacks of a decoder, its counters, and whether it was told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from ai_runner_base.media._types import AudioPacket, DecoderCounters, MediaInfo, Picture, VideoInfo
from ai_runner_base.media._video import SOFTWARE, DecodePolicy


class Stopped(Exception):  # noqa: N818 - not an error: how a reader leaves its loops
    """The decoder was told to stop."""


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """How a `Decoder` reads.

    :param open_timeout_s: for a URL: until it is open and its tracks are known
    :param read_timeout_s: for a URL: without a byte; also how long a stopped thread can still be in FFmpeg
    :param probe_timeout_s: of stream without a video track, before that is an error
    :param live: lowest delay instead of highest throughput; None: by the URL's scheme
    :param late_s: of live MPEG-TS: pictures that are older than this while newer bytes wait are decoded and not given,
        until that is made good; None: all are given
    :param device: FFmpeg's type of the device that decodes live MPEG-TS, or ``software`` (`pick_live_decoder`)
    :param ffmpeg: options for FFmpeg's demuxer and protocol, by their FFmpeg names
    """

    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    probe_timeout_s: float = 2.5
    live: bool | None = None
    late_s: float | None = None
    device: str = SOFTWARE
    policy: DecodePolicy = field(default_factory=DecodePolicy)
    ffmpeg: dict[str, str] = field(default_factory=dict)


class Delivery:
    """Hands pictures, packets and descriptions over, until it is stopped."""

    def __init__(
        self,
        on_video: Callable[[Picture], None],
        on_audio: Callable[[AudioPacket], None] | None,
        on_info: Callable[[MediaInfo], None] | None,
    ) -> None:
        self._on_video = on_video
        self._on_audio = on_audio
        self._on_info = on_info
        self.counters = DecoderCounters()
        self.info: MediaInfo | None = None
        self.decoded_by = ""
        self.stopped = False

    @property
    def wants_audio(self) -> bool:
        """Whether anybody listens."""
        return self._on_audio is not None

    def check(self) -> None:
        """:raises Stopped: after `Decoder.stop`."""
        if self.stopped:
            raise Stopped

    def tell(self, info: MediaInfo) -> None:
        """Give the description, if it is news."""
        if info == self.info:
            return
        self.check()
        self.info = info
        if self._on_info is not None:
            self._on_info(info)

    def pictures(self, pictures: Iterable[Picture]) -> None:
        """Give pictures; a new size is told first."""
        for picture in pictures:
            self.check()
            self._tell_size(picture)
            self.counters.pictures += 1
            self._on_video(picture)

    def audio(self, packet: AudioPacket) -> None:
        """Give an audio packet."""
        self.check()
        self.counters.audio_packets += 1
        if self._on_audio is not None:
            self._on_audio(packet)

    def _tell_size(self, picture: Picture) -> None:
        info = self.info
        if info is None or info.video is None:
            return
        if (info.video.width, info.video.height) != (picture.width, picture.height):
            video: VideoInfo = replace(info.video, width=picture.width, height=picture.height)
            self.tell(replace(info, video=video))
