"""RGB frames to H.264, one in, one out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ai_runner_base.errors import HostError
from ai_runner_base.media._bitstream import H264_SPS, nal_kinds
from ai_runner_base.media._colour import (
    AVCOL_709,
    AVCOL_SMPTE170M,
    BILINEAR,
    POINT,
    RANGE_FULL,
    RANGE_LIMITED,
    SWS_709,
    matrix_for_height,
    scaling_threads,
)
from ai_runner_base.media._types import TIME_BASE

logger = logging.getLogger(__name__)

H264_ENCODERS = (
    "libx264",
    "libopenh264",
    "h264_nvenc",
    "h264_videotoolbox",
    "h264_vaapi",
    "h264_qsv",
    "h264_amf",
    "h264_mf",
)
"""In the order of preference: what is known to give a frame at once, on any machine, comes first."""
OPEN_FAULTS = (ValueError, NotImplementedError, av.FFmpegError)
"""What `open_encoder` raises."""
NO_KEY_FRAMES = 1 << 20
"""Frames between key frames that the encoder makes by itself: never, they follow from the PTS."""


LIVE_PRESET = "live"
LIVE_X264 = "deblock=0,0:cabac=1:aq-mode=1"
"""On top of ultrafast: superfast's quality and size (within 0.1 dB and 1 %) in three quarters of its time."""
SMALL_PIXELS = 640 * 640
"""Up to this size a frame is not worth a second thread."""
MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class VideoEncoderOptions:
    """How pictures are encoded.

    :param codec: FFmpeg's encoder name; None: the first of `H264_ENCODERS` that opens
    :param preset: ``live``, or one of x264's from ultrafast to placebo
    :param crf: x264's constant quality, 0 to 51, lower is better
    :param max_bitrate_bps: upper limit over one second; None: quality decides alone
    :param threads: of the encoder; 0: one for small pictures, else up to four
    :param realtime: a frame comes out when it went in, and key frames only when asked for; threads share a frame
    :param ffmpeg: more options of the encoder by their FFmpeg names
    """

    codec: str | None = None
    preset: str = LIVE_PRESET
    crf: float = 23.0
    max_bitrate_bps: int | None = None
    threads: int = 0
    realtime: bool = True
    ffmpeg: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One access unit (Annex B); key frames carry SPS and PPS.

    :param pts: as given to `VideoEncoder.encode`
    """

    data: bytes
    pts: int
    dts: int
    key_frame: bool


def to_encoder_format(name: str, width: int, height: int) -> Callable[[NDArray[np.uint8]], av.VideoFrame]:
    """A function from RGB arrays (H, W, 3) uint8, C-contiguous, to frames of an encoder; not thread-safe.

    The array may be reused when it returns. Another size than the output's is rescaled.

    :param name: of the encoder
    """
    reformatter = VideoReformatter()
    # The dearest step beside coding. Two threads save a third of its time at 720p, more at 1080p.
    threads = scaling_threads(min(2, encoder_threads(width * height)))
    pixel_format = _PIXEL_FORMATS.get(name, "yuv420p")

    def convert(array: NDArray[np.uint8]) -> av.VideoFrame:
        source = av.VideoFrame.from_numpy_buffer(array, "rgb24")
        # Without scaling, taking every second line's colour instead of a mean saves a third of the time.
        same_size = (source.width, source.height) == (width, height)
        return reformatter.reformat(
            source,
            width=width,
            height=height,
            format=pixel_format,
            interpolation=POINT if same_size else BILINEAR,
            dst_colorspace=matrix_for_height(height),
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_LIMITED,
            **threads,
        )

    return convert


class VideoEncoder:
    """One H.264 encoder for live use. Not thread-safe.

    :param width: of the output in pixels; an odd side loses its last pixel
    :raises HostError: this FFmpeg has no encoder that opens
    """

    def __init__(self, width: int, height: int, options: VideoEncoderOptions | None = None) -> None:
        chosen = options or VideoEncoderOptions()
        self.width = width - width % 2
        self.height = height - height % 2
        self.codec_name = choose_encoder(self.width, self.height, chosen)
        self.convert = to_encoder_format(self.codec_name, self.width, self.height)
        self._codec = open_encoder(self.codec_name, self.width, self.height, chosen)
        self._parameter_sets = self._codec.extradata or b""

    def encode(
        self, frame: av.VideoFrame | None, pts: int = 0, *, key_frame: bool = False
    ) -> Iterator[CodedFrame]:
        """Access units that are ready; None gives the rest.

        :param frame: from `convert`
        :param pts: in 1/90000 s, increasing
        :raises av.FFmpegError: the encoder failed; a new one may work
        """
        if frame is not None:
            frame.pts, frame.time_base = pts, TIME_BASE
            frame.pict_type = PictureType.I if key_frame else PictureType.NONE
        for packet in self._codec.encode(frame):
            if packet.pts is None:
                continue
            data, key = bytes(packet), packet.is_keyframe
            if key and H264_SPS not in nal_kinds(data):
                data = self._parameter_sets + data
            dts = packet.dts if packet.dts is not None else packet.pts
            yield CodedFrame(data, packet.pts, dts, key)


def choose_encoder(width: int, height: int, options: VideoEncoderOptions) -> str:
    """The name of the first encoder that opens.

    :raises HostError: none does
    """
    names = (options.codec,) if options.codec else H264_ENCODERS
    reasons = []
    for name in names:
        try:
            open_encoder(name, width, height, options)
        except OPEN_FAULTS as error:
            reasons.append(f"{name}: {getattr(error, 'strerror', None) or error}")
            continue
        if reasons:
            logger.warning("Encoding with %s; better ones do not open (%s)", name, "; ".join(reasons))
        return name
    raise HostError(
        f"no H.264 encoder opens for {width}x{height}: {'; '.join(reasons)}",
        hint="install an FFmpeg build with libx264 (conda-forge's gpl variant) or libopenh264",
    )


def open_encoder(name: str, width: int, height: int, options: VideoEncoderOptions) -> VideoCodecContext:
    """Open one encoder by name.

    :raises ValueError: FFmpeg does not know it
    :raises av.FFmpegError: it does not open here, such as a GPU encoder without the GPU
    :raises NotImplementedError: this PyAV cannot give it its device (before 17)
    """
    device = HWAccel(_DEVICES[name]) if name in _DEVICES else None
    codec = cast(VideoCodecContext, CodecContext.create(name, "w", device))
    configure_encoder(codec, name, width, height, options)
    codec.time_base = TIME_BASE
    codec.open()
    return codec


def configure_encoder(
    codec: VideoCodecContext, name: str, width: int, height: int, options: VideoEncoderOptions
) -> None:
    """Set everything but the time base of an encoder that is not open yet."""
    codec.width, codec.height = width, height
    codec.pix_fmt = _PIXEL_FORMATS.get(name, "yuv420p")
    codec.framerate = Fraction(30)  # a hint for rate control; time stamps rule
    hd = matrix_for_height(height) == SWS_709
    codec.colorspace = codec.color_primaries = codec.color_trc = AVCOL_709 if hd else AVCOL_SMPTE170M
    codec.color_range = RANGE_LIMITED
    codec.thread_count = options.threads
    if options.realtime:
        codec.max_b_frames = 0
        codec.gop_size = NO_KEY_FRAMES
        codec.thread_count = options.threads or encoder_threads(width * height)
    if name != "libx264":
        codec.bit_rate = options.max_bitrate_bps or _usual_bitrate(width, height)
    codec.options = _codec_options(name, options) | options.ffmpeg


def encoder_threads(pixels: int) -> int:
    """Threads that are worth waking for one frame."""
    return 1 if pixels <= SMALL_PIXELS else min(MAX_THREADS, os.cpu_count() or 1)


def _usual_bitrate(width: int, height: int) -> int:
    """For encoders without constant quality: 0.1 bit per pixel at 30 frames per second."""
    return width * height * 3


def _codec_options(name: str, options: VideoEncoderOptions) -> dict[str, str]:
    if name == "libx264":
        return _x264_options(options)
    return _LOW_DELAY_OPTIONS.get(name, {}) if options.realtime else {}


def _x264_options(options: VideoEncoderOptions) -> dict[str, str]:
    chosen = {"preset": options.preset, "crf": str(options.crf)}
    if options.preset == LIVE_PRESET:
        chosen |= {"preset": "ultrafast", "x264-params": LIVE_X264}
    if options.realtime:
        chosen |= {"tune": "zerolatency", "forced-idr": "1", "sc_threshold": "0"}
    if options.max_bitrate_bps:
        chosen |= {"maxrate": str(options.max_bitrate_bps), "bufsize": str(options.max_bitrate_bps)}
    return chosen


_DEVICES = {"h264_vaapi": "vaapi"}
"""Encoders that take frames on their device only: PyAV puts ours there."""
_PIXEL_FORMATS = {"h264_vaapi": "nv12", "h264_qsv": "nv12", "h264_mf": "nv12"}
_LOW_DELAY_OPTIONS = {
    "libopenh264": {"allow_skip_frames": "0", "rc_mode": "bitrate"},
    "h264_nvenc": {"preset": "p1", "tune": "ull", "delay": "0", "zerolatency": "1", "forced-idr": "1"},
    "h264_videotoolbox": {"realtime": "1", "prio_speed": "1"},
    "h264_vaapi": {"async_depth": "1"},
    "h264_qsv": {"async_depth": "1", "low_delay_brc": "1", "forced_idr": "1"},
    "h264_amf": {"usage": "ultralowlatency", "forced_idr": "1"},
}
