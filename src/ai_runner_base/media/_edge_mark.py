"""The time at which a web page took a picture, as a row of blocks above and below it.

WebRTC carries no number beside a frame, and a page's own clock is what its latency is measured with. The page sends
pictures that are higher than wanted by a margin at each end; a centred crop to the wanted shape cuts both off, so
that no pipeline ever sees them (docs/playground.md).
"""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from ai_runner_base.media._clip_counter import BIT_COUNT, WRAP, parse_bits
from ai_runner_base.media._colour import RANGE_FULL, plane_view

EDGE_WRAP = WRAP
"""Values are told modulo this."""
MARGIN_PART = 32
"""A margin has at least the picture's height divided by this (playground/mark.js draws it)."""
MIN_CONTRAST = 60.0
DARKEST_LIMITED, LIGHTEST_LIMITED = 8.0, 245.0
"""Half way to 0 and 255 from limited range's black and white, 16 and 235."""
_LUMA_FORMATS = ("yuv420p", "yuvj420p", "nv12")


def read_edge_mark(frame: av.VideoFrame) -> int | None:
    """Read the value, 0 to `EDGE_WRAP` - 1, and note that the frame has full range where its blocks have.

    VP8 does not say which levels it uses, and browsers use both kinds.

    :param frame: with its margins, also when it was scaled on its way
    :returns: None where there is none that can be trusted
    """
    if frame.format.name not in _LUMA_FORMATS or frame.width < 2 * BIT_COUNT:
        return None
    luma = plane_view(frame, 0)[: frame.height, : frame.width]
    depth = max(4, frame.height // (MARGIN_PART + 2))
    for top in (depth // 4, frame.height - 3 * depth // 4):
        cells = _cells(luma[top : top + depth // 2].mean(axis=0))
        value = _read(cells)
        if value is not None:
            if min(cells) < DARKEST_LIMITED and max(cells) > LIGHTEST_LIMITED:
                frame.color_range = RANGE_FULL
            return value
    return None


def _cells(levels: NDArray[np.float64]) -> list[float]:
    """:param levels: mean luma of each column"""
    width = len(levels) / BIT_COUNT
    starts = [int((index + 0.25) * width) for index in range(BIT_COUNT)]
    return [float(levels[start : start + max(1, int(width / 2))].mean()) for start in starts]


def _read(cells: list[float]) -> int | None:
    darkest, lightest = min(cells), max(cells)
    if lightest - darkest < MIN_CONTRAST:
        return None
    mark = parse_bits([cell > (darkest + lightest) / 2 for cell in cells])
    return mark.frame if mark else None
