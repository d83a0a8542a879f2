"""Which video encoders work on this host: software is opened, hardware encodes (`_trial`). (Decoders: `_devices`.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.codec import Codec

from ai_runner_base.errors import HostError
from ai_runner_base.media._trial import (
    CODEC_NODES,
    NVIDIA_NODES,
    RENDER_NODES,
    CodecProbe,
    require,
    try_hardware,
)
from ai_runner_base.media._video_encoder import (
    H264_ENCODERS,
    OPEN_FAULTS,
    VideoEncoderOptions,
    open_encoder,
)

HARDWARE_NODES = {
    "_nvenc": NVIDIA_NODES,
    "_vaapi": RENDER_NODES,
    "_qsv": RENDER_NODES,
    "_amf": RENDER_NODES,
    "_vulkan": (*RENDER_NODES, *NVIDIA_NODES),
    "_v4l2m2m": CODEC_NODES,
    "_videotoolbox": (),
    "_mf": (),
}
"""How the names of encoders end that need a GPU or a codec chip, and what is in ``/dev`` where there is one."""
PROBE_SIZE = (640, 360)


def list_video_encoders(*, known_only: bool = False) -> list[CodecProbe]:
    """Every H.264 encoder of this FFmpeg, the preferred ones first. Each of hardware that is there takes half a second.

    :param known_only: those that we know how to drive without delay
    """
    known = [name for name in H264_ENCODERS if name in av.codecs_available]
    if known_only:
        return [_probe(name) for name in known]
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
    nodes = next((nodes for suffix, nodes in HARDWARE_NODES.items() if name.endswith(suffix)), None)
    if nodes is not None:
        return try_hardware("encode_on", name, nodes)
    with captured_errors() as lines:
        try:
            open_encoder(name, *PROBE_SIZE, VideoEncoderOptions())
            reason = ""
        except OPEN_FAULTS as error:
            reason = explain_open(error, lines)
    return CodecProbe(name, hardware=False, usable=not reason, reason=reason)


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
    """Choose the encoder of live streams by trying it here.

    :param wanted: ``auto``: a GPU's or codec chip's encoder where one opens, else the preferred software one;
        ``software``: never a hardware one; else FFmpeg's name of an H.264 encoder
    :returns: FFmpeg's name
    :raises CallerError: an encoder that this FFmpeg does not have
    :raises HostError: it does not work on this host, or none does
    """
    if wanted not in ("auto", "software"):
        return require(wanted, list_video_encoders(), "encoder")
    probes = list_video_encoders(known_only=True)
    usable = [probe for probe in probes if probe.usable and not (wanted == "software" and probe.hardware)]
    if not usable:
        reasons = "; ".join(f"{probe.name}: {probe.reason}" for probe in probes) or "this FFmpeg has none"
        raise HostError(f"no H.264 encoder opens ({reasons})", hint="install an FFmpeg build with libx264")
    return max(usable, key=lambda probe: probe.hardware).name
