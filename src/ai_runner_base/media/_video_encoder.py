"""RGB frames to H.264, one in, one out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.context import CodecContext
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
    ONE_THREAD,
    POINT,
    RANGE_FULL,
    RANGE_LIMITED,
    SWS_709,
    matrix_for_height,
)
from ai_runner_base.media._types import TIME_BASE

logger = logging.getLogger(__name__)

H264_ENCODERS = (
    "libx264",
    "libopenh264",
    "h264_nvenc",
    "h264_videotoolbox",
    "h264_qsv",
    "h264_amf",
    "h264_mf",
)
"""In the order of preference: what is known to give a frame at once, on any machine, comes first."""
NO_KEY_FRAMES = 1 << 20
"""Frames between key frames that the encoder makes by itself: never, they follow from the PTS."""


@dataclass(frozen=True, slots=True)
class VideoEncoderOptions:
    """How pictures are encoded for a live stream.

    :param codec: FFmpeg's encoder name; None: the first of `H264_ENCODERS` that opens
    :param preset: x264's; superfast costs a third more than ultrafast and needs half the bits
    :param crf: x264's constant quality, 0 to 51, lower is better
    :param max_bitrate_bps: upper limit over one second; None: quality decides alone
    :param threads: of the encoder, each on a slice of the same frame; 0: the encoder decides
    :param ffmpeg: more options of the encoder by their FFmpeg names
    """

    codec: str | None = None
    preset: str = "superfast"
    crf: float = 23.0
    max_bitrate_bps: int | None = None
    threads: int = 1
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


class VideoEncoder:
    """One H.264 encoder. Not thread-safe.

    :param width: of the output in pixels; even
    :raises HostError: this FFmpeg has no encoder that opens
    """

    def __init__(self, width: int, height: int, options: VideoEncoderOptions | None = None) -> None:
        self.width = width - width % 2
        self.height = height - height % 2
        self._options = options or VideoEncoderOptions()
        self._reformatter = VideoReformatter()
        self.codec_name, self._codec = _open_first(self.width, self.height, self._options)
        self._parameter_sets = self._codec.extradata or b""

    def convert(self, array: NDArray[np.uint8]) -> av.VideoFrame:
        """The frame in the encoder's pixel format; `array` may be reused afterwards.

        :param array: (H, W, 3) uint8 RGB, C-contiguous; another size than the output's is rescaled
        """
        source = av.VideoFrame.from_numpy_buffer(array, "rgb24")
        same_size = (source.width, source.height) == (self.width, self.height)
        return self._reformatter.reformat(
            source,
            width=self.width,
            height=self.height,
            format="yuv420p",
            interpolation=POINT if same_size else BILINEAR,
            dst_colorspace=matrix_for_height(self.height),
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_LIMITED,
            **ONE_THREAD,
        )

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


def _open_first(width: int, height: int, options: VideoEncoderOptions) -> tuple[str, VideoCodecContext]:
    names = (options.codec,) if options.codec else H264_ENCODERS
    reasons = []
    for name in names:
        try:
            codec = open_encoder(name, width, height, options)
        except (ValueError, av.FFmpegError) as error:
            reasons.append(f"{name}: {getattr(error, 'strerror', None) or error}")
            continue
        if reasons:
            logger.warning(
                "Encoding with %s, because the better ones do not open (%s)", name, "; ".join(reasons)
            )
        return name, codec
    raise HostError(
        f"no H.264 encoder opens for {width}x{height}: {'; '.join(reasons)}",
        hint="install an FFmpeg build with libx264 (conda-forge's gpl variant) or libopenh264",
    )


def open_encoder(name: str, width: int, height: int, options: VideoEncoderOptions) -> VideoCodecContext:
    """Open one encoder by name.

    :raises ValueError: FFmpeg does not know it
    :raises av.FFmpegError: it does not open here, such as a GPU encoder without the GPU
    """
    codec = cast(VideoCodecContext, CodecContext.create(name, "w"))
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = TIME_BASE, Fraction(30)
    codec.max_b_frames = 0
    codec.gop_size = NO_KEY_FRAMES
    hd = matrix_for_height(height) == SWS_709
    colour = AVCOL_709 if hd else AVCOL_SMPTE170M
    codec.colorspace = codec.color_primaries = codec.color_trc = colour
    codec.color_range = RANGE_LIMITED
    codec.thread_count = options.threads
    if name != "libx264":
        codec.bit_rate = options.max_bitrate_bps or _usual_bitrate(width, height)
    codec.options = _codec_options(name, options) | options.ffmpeg
    codec.open()
    return codec


def _usual_bitrate(width: int, height: int) -> int:
    """For encoders without constant quality: 0.1 bit per pixel at 30 frames per second."""
    return width * height * 3


def _codec_options(name: str, options: VideoEncoderOptions) -> dict[str, str]:
    if name == "libx264":
        chosen = {
            "preset": options.preset,
            "tune": "zerolatency",
            "crf": str(options.crf),
            "forced-idr": "1",
            "sc_threshold": "0",
        }
        if options.max_bitrate_bps:
            chosen |= {"maxrate": str(options.max_bitrate_bps), "bufsize": str(options.max_bitrate_bps)}
        return chosen
    if name == "libopenh264":
        return {"allow_skip_frames": "0", "rc_mode": "bitrate"}
    if name == "h264_nvenc":
        return {"preset": "p1", "tune": "ull", "delay": "0", "zerolatency": "1", "forced-idr": "1"}
    if name == "h264_videotoolbox":
        return {"realtime": "1", "prio_speed": "1"}
    if name == "h264_qsv":
        return {"async_depth": "1", "low_delay_brc": "1", "forced_idr": "1"}
    if name == "h264_amf":
        return {"usage": "ultralowlatency", "forced_idr": "1"}
    return {}
