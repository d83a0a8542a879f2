"""Which video encoders work on this machine: each one is really opened."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.codec import Codec

from ai_runner_base.media._video_encoder import H264_ENCODERS, VideoEncoderOptions, open_encoder

HARDWARE_SUFFIXES = ("_nvenc", "_videotoolbox", "_qsv", "_amf", "_mf", "_vaapi", "_v4l2m2m", "_vulkan")
PROBE_SIZE = (640, 360)


@dataclass(frozen=True, slots=True)
class CodecProbe:
    """One H.264 encoder of this FFmpeg.

    :param hardware: it needs a GPU or a codec chip
    :param usable: it opened
    :param reason: why it did not; empty when it did
    """

    name: str
    hardware: bool
    usable: bool
    reason: str = ""


def list_video_encoders() -> list[CodecProbe]:
    """Every H.264 encoder of this FFmpeg, the preferred ones first."""
    known = [name for name in H264_ENCODERS if name in av.codecs_available]
    others = sorted(
        name for name in av.codecs_available if "264" in name and name not in known and _is_h264_encoder(name)
    )
    return [_probe(name) for name in (*known, *others)]


def _is_h264_encoder(name: str) -> bool:
    try:
        codec = Codec(name, "w")
    except ValueError:
        return False
    # An alias of another encoder has another name of its own; RGB streams are nothing that players take.
    return codec.canonical_name == "h264" and codec.name == name and not name.endswith("rgb")


def _probe(name: str) -> CodecProbe:
    hardware = name.endswith(HARDWARE_SUFFIXES)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as lines:
            open_encoder(name, *PROBE_SIZE, VideoEncoderOptions())
    except (ValueError, av.FFmpegError) as error:
        said = lines[0][2].strip() if lines else ""
        text = getattr(error, "strerror", None) or str(error)
        return CodecProbe(name, hardware, usable=False, reason=f"{said} ({text})" if said else text)
    finally:
        av.logging.set_level(level)
    return CodecProbe(name, hardware, usable=True)
