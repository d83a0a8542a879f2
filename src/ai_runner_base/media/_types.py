"""What crosses the door of this room: pictures, audio packets, descriptions of tracks, counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import av

TICKS_PER_S = 90_000
"""The clock of MPEG-TS, and of every live output."""
TIME_BASE = Fraction(1, TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video track as far as it is known.

    :param codec: FFmpeg's decoder name, such as ``h264``
    :param width: of the decoded picture in pixels; 0 until the first picture
    :param height: likewise
    :param frame_rate: frames per second where the container tells; None otherwise
    """

    codec: str
    width: int = 0
    height: int = 0
    frame_rate: Fraction | None = None


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The audio track as far as it is known.

    :param codec: FFmpeg's decoder name, such as ``opus``, ``aac``, ``mp3``
    :param sample_rate: samples per second; 0 when only decoding would tell
    :param channels: 0 when only decoding would tell
    :param extradata: codec configuration of containers that keep it apart (AudioSpecificConfig, OpusHead)
    :param template: a PyAV stream whose parameters a muxer can copy; None for MPEG-TS read by ourselves
    """

    codec: str
    sample_rate: int = 0
    channels: int = 0
    extradata: bytes | None = None
    template: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a source holds: the first video and the first audio track.

    :param container: FFmpeg's format name, such as ``mpegts``
    :param duration_s: whole length where the container tells; None for live input
    :param frame_count: video frames where the container tells, else rate times duration; None when unknown
    """

    container: str
    video: VideoInfo | None
    audio: AudioInfo | None
    duration_s: float | None = None
    frame_count: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded video frame.

    :param frame: the decoder's frame, in the decoder's pixel format; shared, do not write into it
    :param pts: presentation time in ``time_base`` units, on the input's own timeline (33-bit wraps unrolled)
    :param received_ns: ``time.monotonic_ns()`` when the last byte of the frame arrived
    :param decoded_ns: the same clock when the decoder gave the picture
    :param discontinuity: the timeline jumped, or data was lost, just before this picture
    """

    frame: av.VideoFrame
    pts: int
    time_base: Fraction
    key_frame: bool
    received_ns: int
    decoded_ns: int
    discontinuity: bool = False

    @property
    def width(self) -> int:
        """Width of the decoded picture in pixels."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Height of the decoded picture in pixels."""
        return self.frame.height


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """Encoded audio as it came, without the container's own framing.

    :param data: one Opus packet, one raw AAC frame (``info.extradata`` is set), or whole ADTS or MPEG frames
    :param pts: presentation time in ``time_base`` units, on the same timeline as the pictures
    :param duration: in ``time_base`` units; None when the container does not tell
    """

    data: bytes
    pts: int
    time_base: Fraction
    info: AudioInfo
    duration: int | None = None
    received_ns: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Marks the first bytes of a new, independently decodable segment.

    :param index: counts segments from 0
    :param pts: of the segment's key frame, in 1/90000 s
    :param discontinuity: the timeline jumped between the last segment and this one
    """

    index: int
    pts: int
    discontinuity: bool = False


@dataclass(slots=True)
class DecoderCounters:
    """Running totals of one `Decoder`; read from any thread."""

    received_bytes: int = 0
    pictures: int = 0
    audio_packets: int = 0
    skipped_without_pts: int = 0
    """Packets without DTS and frames without PTS."""
    skipped_before_key_frame: int = 0
    """Access units before the first key frame, or between a skip and the next one."""
    invalid_packets: int = 0
    dropped_pts_order: int = 0
    """Pictures whose PTS did not increase without being a jump."""
    skipped_late: int = 0
    """Pictures that were decoded for the sake of the next ones only: we were behind the input."""
    lost_packets: int = 0
    """Gaps in MPEG-TS continuity counters."""
    resyncs: int = 0
    """Times that the reader had to search for the next packet start."""
    live_edge_skips: int = 0
    """Times that the input was too far ahead and was skipped to its newest bytes."""
    discontinuities: int = 0
    """Jumps of the timeline."""
    reopened: int = 0
    device_failures: int = 0
    """Times that a decoder on a device failed and software took its place."""


@dataclass(slots=True)
class EncoderCounters:
    """Running totals of one `LiveEncoder` or `FileEncoder`; read from any thread."""

    frames: int = 0
    audio_packets: int = 0
    segments: int = 0
    sent_bytes: int = 0
    dropped_queue_full: int = 0
    dropped_pts_order: int = 0
    """Packets whose PTS did not increase on their track."""
    dropped_audio: int = 0
    """Audio that could not be kept in sync, decoded, or held."""
    reopened: int = 0


class Source(Protocol):
    """What gives pictures: a `Decoder` or a `ClipSource`."""

    @property
    def counters(self) -> DecoderCounters:
        """Running totals."""

    @property
    def info(self) -> MediaInfo | None:
        """The tracks, as soon as they are known."""

    def start(self) -> None:
        """Begin; callbacks come from the source's own thread."""

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End; no callback comes after it returns. True when the thread is gone."""
