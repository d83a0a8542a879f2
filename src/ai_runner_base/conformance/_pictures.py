"""What is shown to a pipeline: moving and still scenes, and pictures at the edge of what a camera gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_STEP_PX = 4


def still(width: int, height: int) -> Picture:
    """A scene of soft gradients, hard edges and a little grain, (H, W, 3) uint8. Always the same."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 // width, y * 255 // height, (x + y) * 127 // (width + height)], axis=-1)
    picture[height // 4 : height // 2, width // 4 : width // 2] = (250, 180, 40)
    grain = np.random.default_rng(7).integers(0, 12, (height, width, 1))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def moving(width: int, height: int, count: int) -> Iterator[Picture]:
    """`still`, travelling sideways."""
    scene = still(width, height)
    for index in range(count):
        yield np.roll(scene, _STEP_PX * index, axis=1)


def extremes(width: int, height: int) -> dict[str, Picture]:
    """Pictures that divide by zero: nothing to see, nothing but light, noise, one bright pixel."""
    black = np.zeros((height, width, 3), np.uint8)
    spark = black.copy()
    spark[height // 2, width // 2] = 255
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return {"black": black, "white": np.full_like(black, 255), "noise": noise, "one pixel": spark}
