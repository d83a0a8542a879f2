"""Try an encoder on its GPU or codec chip: ``python -I -m ai_runner_base.media.encode_on ENCODER``.

A process of its own, since a driver may crash or hang it (`_trial`).
"""

from __future__ import annotations

import numpy as np

from ai_runner_base.errors import HostError
from ai_runner_base.media._bitstream import can_start_decoding
from ai_runner_base.media._probe import PROBE_SIZE, captured_errors, explain_open
from ai_runner_base.media._trial import tell
from ai_runner_base.media._video_encoder import (
    OPEN_FAULTS,
    CodedFrame,
    VideoEncoder,
    VideoEncoderOptions,
    open_encoder,
)

FRAMES, STEP_TICKS = 4, 3_000
KEYS = [0, FRAMES - 1]


def why_not(name: str) -> str:
    """Say why an encoder is useless for live streams; empty when it is not."""
    with captured_errors() as lines:
        try:
            open_encoder(name, *PROBE_SIZE, VideoEncoderOptions())  # says more plainly why it does not open
            coded = _encode(VideoEncoder(*PROBE_SIZE, VideoEncoderOptions(codec=name)))
        except (*OPEN_FAULTS, HostError) as error:
            return explain_open(error, lines)
    if len(coded) != FRAMES:
        return f"it opens, but gives {len(coded)} frames for {FRAMES}"
    starts = [index for index, unit in enumerate(coded) if can_start_decoding("h264", unit.data)]
    return "" if starts == KEYS else f"it opens, but makes key frames of {starts}, asked for {KEYS}"


def _encode(encoder: VideoEncoder) -> list[CodedFrame]:
    picture = np.full((encoder.height, encoder.width, 3), 128, np.uint8)
    coded: list[CodedFrame] = []
    for number in range(FRAMES):
        frame = encoder.convert(picture)
        coded += encoder.encode(frame, number * STEP_TICKS, key_frame=number in KEYS)
    return coded + list(encoder.encode(None))


if __name__ == "__main__":
    tell(why_not)
