"""Which video encoders work on this machine: each one is really opened, hardware encodes. (Decoders: `_devices`.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
from av.codec import Codec

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.media._bitstream import can_start_decoding
from ai_runner_base.media._video_encoder import (
    H264_ENCODERS,
    OPEN_FAULTS,
    CodedFrame,
    VideoEncoder,
    VideoEncoderOptions,
    open_encoder,
)

HARDWARE_SUFFIXES = ("_nvenc", "_videotoolbox", "_qsv", "_amf", "_mf", "_vaapi", "_v4l2m2m", "_vulkan")
PROBE_SIZE = (640, 360)
PROBE_FRAMES, PROBE_STEP_TICKS = 4, 3_000


@dataclass(frozen=True, slots=True)
class CodecProbe:
    """One H.264 encoder of this FFmpeg, or one way to decode H.264.

    :param name: FFmpeg's name of the encoder or of the device type; ``software`` for decoding without a device
    :param hardware: it needs a GPU or a codec chip
    :param usable: it opened, or it decoded a clip
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
    with captured_errors() as lines:
        try:
            open_encoder(name, *PROBE_SIZE, VideoEncoderOptions())
            reason = _flaw(name) if hardware else ""
        except (*OPEN_FAULTS, HostError) as error:
            reason = explain_open(error, lines)
    return CodecProbe(name, hardware, usable=not reason, reason=reason)


def _flaw(name: str) -> str:
    """Say what makes an encoder that opens useless for live streams; empty: nothing."""
    encoder = VideoEncoder(*PROBE_SIZE, VideoEncoderOptions(codec=name))
    picture = np.full((encoder.height, encoder.width, 3), 128, np.uint8)
    keys = [0, PROBE_FRAMES - 1]
    coded: list[CodedFrame] = []
    for number in range(PROBE_FRAMES):
        frame = encoder.convert(picture)
        coded += encoder.encode(frame, number * PROBE_STEP_TICKS, key_frame=number in keys)
    coded += encoder.encode(None)
    if len(coded) != PROBE_FRAMES:
        return f"it opens, but gives {len(coded)} frames for {PROBE_FRAMES}"
    starts = [index for index, unit in enumerate(coded) if can_start_decoding("h264", unit.data)]
    return "" if starts == keys else f"it opens, but makes key frames of {starts}, asked for {keys}"


@contextmanager
def captured_errors() -> Iterator[list[tuple[int, str, str]]]:
    """Keep what FFmpeg logs as errors on this thread: (level, who, what), instead of passing it on."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(level)


def explain_open(error: Exception, lines: list[tuple[int, str, str]]) -> str:
    """Say why FFmpeg could not: the first thing that it logged, and its error."""
    said = lines[0][2].strip() if lines else ""
    text = getattr(error, "strerror", None) or str(error)
    return f"{said} ({text})" if said else text


def pick_live_encoder(wanted: str = "auto") -> str:
    """Choose the encoder of live streams by opening it here.

    :param wanted: ``auto``: a GPU's or codec chip's encoder where one opens, else the preferred software one;
        ``software``: never a hardware one; else FFmpeg's name of an H.264 encoder
    :returns: FFmpeg's name
    :raises CallerError: an encoder that this FFmpeg does not have
    :raises HostError: it does not open on this host, or none does
    """
    probes = list_video_encoders()
    if wanted not in ("auto", "software"):
        return _named(wanted, probes)
    usable = [probe for probe in probes if probe.usable and not (wanted == "software" and probe.hardware)]
    if not usable:
        reasons = "; ".join(f"{probe.name}: {probe.reason}" for probe in probes) or "this FFmpeg has none"
        raise HostError(f"no H.264 encoder opens ({reasons})", hint="install an FFmpeg build with libx264")
    # Of the hardware, only what we know how to drive without delay.
    return max(usable, key=lambda probe: probe.hardware and probe.name in H264_ENCODERS).name


def _named(wanted: str, probes: list[CodecProbe]) -> str:
    probe = next((probe for probe in probes if probe.name == wanted), None)
    if probe is None:
        raise CallerError(
            f"this FFmpeg has no H.264 encoder {wanted!r}; it has {', '.join(p.name for p in probes)}",
            hint="choose one of these, or auto",
        )
    if not probe.usable:
        raise HostError(
            f"encoder {wanted} does not open here: {probe.reason}", hint="choose auto or software"
        )
    return wanted
