"""What ControlNets are shown: lines found in the picture, or the picture itself. OpenCV only, no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_CANNY_LOW, _CANNY_HIGH = 100, 200


def control_picture(picture: Picture, preprocessor: str, params: Mapping[str, Any]) -> Picture:
    """Prepare a picture for a ControlNet.

    :param picture: (H, W, 3) uint8 RGB
    :param preprocessor: ``canny``, ``soft_edge``, ``standard_lineart`` or ``passthrough``
    :param params: the preprocessor's own
    :return: (H, W, 3) uint8
    """
    if preprocessor == "passthrough":
        return picture
    lines = _PREPROCESSORS[preprocessor](cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), **params)
    return cv2.cvtColor(lines, cv2.COLOR_GRAY2RGB)


def _canny(grey: Picture, low_threshold: int = _CANNY_LOW, high_threshold: int = _CANNY_HIGH) -> Picture:
    """Thin lines where light changes steeply."""
    return cv2.Canny(grey, low_threshold, high_threshold)


def _soft_edge(grey: Picture) -> Picture:
    """Steepness of light, as a soft drawing."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    return cv2.convertScaleAbs(cv2.magnitude(across, down), alpha=1.5)


def _standard_lineart(grey: Picture) -> Picture:
    """Where a pixel is darker than what is around it: a pencil drawing, white on black."""
    around = cv2.GaussianBlur(grey, (0, 0), 6)
    return cv2.convertScaleAbs(cv2.subtract(around, grey), alpha=4)


_PREPROCESSORS: dict[str, Callable[..., Picture]] = {
    "canny": _canny,
    "soft_edge": _soft_edge,
    "standard_lineart": _standard_lineart,
}
