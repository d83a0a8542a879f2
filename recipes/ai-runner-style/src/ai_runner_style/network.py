"""The painting network, in onnxruntime."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .picture import Picture, Plane

WEIGHTS = Path(__file__).with_name("weights") / "painting.onnx"

SIDE_MULTIPLE_PX = 4
"""The network halves its picture twice."""
LEAST_SIDE_PX = 32
_ERRORS_ONLY = 3


@cache
def network(thread_count: int) -> Network:
    """Give the one network of this process."""
    return Network(WEIGHTS, thread_count)


class Network:
    """Paints pictures of any size, in any mixture of its styles.

    :param thread_count: threads that work on one picture; they sleep in between
    :raises FileNotFoundError: the weights are not there, as in a fresh clone
    """

    def __init__(self, path: Path, thread_count: int) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; in a clone, tools/fetch_weights.py puts it there")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, picture: Plane, weights: NDArray[np.float32]) -> Picture:
        """Paint.

        :param picture: (H, W, 3) float32 RGB in 0..255, sides multiples of `SIDE_MULTIPLE_PX`, at least
            `LEAST_SIDE_PX`
        :param weights: (26,), sum 1
        :return: (H, W, 3)
        """
        image = cv2.dnn.blobFromImage(picture, 1 / 255)
        planes = self._session.run(None, {"image": image, "style_weights": weights})[0][0]
        return cv2.convertScaleAbs(cv2.merge(list(planes)), alpha=255)
