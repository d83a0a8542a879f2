"""Between the decoder's pixel formats and RGB: one place for matrix, range and threads.

The numbers are swscale's and FFmpeg's own (``SWS_CS_*``, ``AVCOL_*``); PyAV 15 to 18 take them as integers.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SWS_709, SWS_601, SWS_2020 = 1, 5, 9
RANGE_LIMITED, RANGE_FULL = 1, 2
AVCOL_709, AVCOL_SMPTE170M = 1, 6
HD_HEIGHT = 720
"""From this height on, players take unmarked pictures for BT.709, below it for BT.601."""
POINT, BILINEAR, AREA = 0x10, 2, 0x20

_MATRICES = {1: SWS_709, 4: 4, 5: SWS_601, 6: SWS_601, 7: 7, 9: SWS_2020, 10: SWS_2020}


def scaling_threads(count: int) -> dict[str, Any]:
    """The keyword for so many threads, where PyAV has it (17 on); before that there is always one.

    Left alone, PyAV takes one per core, and waking them costs more than it gains for small frames.
    """
    return {"threads": count} if int(av.__version__.split(".")[0]) >= 17 else {}


ONE_THREAD = scaling_threads(1)


def matrix_for_height(height: int) -> int:
    """The matrix that players assume for a picture that does not say."""
    return SWS_709 if height >= HD_HEIGHT else SWS_601


def frame_matrix(frame: av.VideoFrame) -> int:
    """The frame's colour matrix as swscale counts them; by its height when it does not say."""
    return _MATRICES.get(int(frame.colorspace), matrix_for_height(frame.height))


def frame_range(frame: av.VideoFrame) -> int:
    """Whether the frame uses all 256 levels (the ``yuvj`` formats do, without saying so)."""
    full = int(frame.color_range) == RANGE_FULL or frame.format.name.startswith("yuvj")
    return RANGE_FULL if full else RANGE_LIMITED


def rgb_view(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The pixels of an rgb24 frame, (H, W, 3) uint8, without a copy; valid as long as the frame."""
    return plane_view(frame, 0)[: frame.height, : frame.width * 3].reshape(frame.height, frame.width, 3)


def plane_view(frame: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """One plane's bytes, (rows, bytes per row) uint8 with FFmpeg's padding, without a copy; writable."""
    plane = frame.planes[index]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
