"""Try a decoder on its device: ``python -I -m ai_runner_base.media.decode_on DEVICE``.

Decodes a clip there and in software and compares the pictures. A process of its own, since a driver may crash or
hang it (`_trial`).
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from ai_runner_base.errors import HostError
from ai_runner_base.media._clip_scene import Scene
from ai_runner_base.media._fit import Fitter
from ai_runner_base.media._probe import PROBE_SIZE, captured_errors, explain_open
from ai_runner_base.media._trial import tell
from ai_runner_base.media._types import TIME_BASE
from ai_runner_base.media._video import SOFTWARE, is_from_device, open_live_codec
from ai_runner_base.media._video_encoder import CodedFrame, VideoEncoder

FRAMES = 4
STEP_TICKS = 3_000
MAX_DIFFERENCE = 2.0
"""Mean difference from software, of 255: decoding H.264 is exact, only the way to RGB may round otherwise."""


def why_not(device: str) -> str:
    """Say why a device cannot decode; empty when it can."""
    coded = _clip()
    with captured_errors() as lines:
        try:
            pictures = _decode(coded, device)
        except (ValueError, NotImplementedError, HostError, av.FFmpegError) as error:
            return explain_open(error, lines)
    expected = _decode(coded, SOFTWARE)
    if len(pictures) != len(expected):
        return f"it gave {len(pictures)} pictures of {len(expected)}"
    off = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(pictures, expected, strict=True))
    return f"its pictures are wrong, by {off:.1f} of 255" if off > MAX_DIFFERENCE else ""


def _clip() -> list[CodedFrame]:
    scene, encoder = Scene(*PROBE_SIZE, Fraction(30)), VideoEncoder(*PROBE_SIZE)
    coded: list[CodedFrame] = []
    for number in range(FRAMES):
        rgb = np.asarray(scene.draw(number).to_ndarray(format="rgb24"), np.uint8)
        frame = encoder.convert(rgb)
        coded += encoder.encode(frame, number * STEP_TICKS, key_frame=number == 0)
    return coded + list(encoder.encode(None))


def _decode(coded: list[CodedFrame], device: str) -> list[NDArray[np.uint8]]:
    """:raises HostError: software had to do it"""
    codec, fitter, pictures = open_live_codec("h264", device), Fitter(*PROBE_SIZE), []
    packets = [_packet(unit) for unit in coded]
    for frame in [frame for packet in (*packets, None) for frame in codec.decode(packet)]:
        if device != SOFTWARE and not is_from_device(codec, frame):
            raise HostError(f"it does not take H.264 of {frame.width}x{frame.height}")
        out = np.empty((*reversed(PROBE_SIZE), 3), np.uint8)
        fitter.into(frame, out)
        pictures.append(out)
    return pictures


def _packet(unit: CodedFrame) -> av.Packet[av.stream.Stream]:
    packet = av.Packet(unit.data)
    packet.pts, packet.dts, packet.time_base = unit.pts, unit.dts, TIME_BASE
    return packet


if __name__ == "__main__":
    tell(why_not)
