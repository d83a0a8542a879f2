"""The waiting picture: what viewers see while a worker loads, reloads or restarts.

Never the raw input: a pipeline may exist to hide what the camera shows. The base is the last processed picture, greyed
and dimmed, when it is young enough, else plain grey (live runner contract 6).
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

MAX_BASE_AGE_S = 5.0
_BLOCK = 8
_GREY = 64
_DOTS = 8
_TURN_S = 1.2


@cache
def _captions() -> dict[str, Pixels]:
    with np.load(str(files(__package__) / "assets" / "captions.npz")) as data:
        return {name: data[name] for name in data.files}


class Overlay:
    """Draws waiting pictures of one size.

    :param width: of the pictures, in px
    :param height: the same
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._base = np.full((-(-height // _BLOCK), -(-width // _BLOCK)), _GREY, np.uint8)
        self._backdrop: Pixels | None = None
        self._kept_s = -math.inf

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures in px."""
        return self._size

    def remember(self, pixels: Pixels, now_s: float) -> None:
        """Keep a processed picture, (H, W, 3) uint8 RGB, as the base; at most one a second is looked at.

        Only one pixel of each block is read: this runs between two live frames (0.2 ms instead of 20 at 720p).
        """
        if now_s - self._kept_s < 1 or pixels.shape[:2] != self._size[::-1]:
            return
        # Green carries most of the luma; exact weights do not matter here.
        np.add(pixels[::_BLOCK, ::_BLOCK, 1] // 3, 16, out=self._base)
        self._kept_s, self._backdrop = now_s, None

    def draw(self, out: Pixels, caption: str, now_s: float) -> None:
        """Draw the picture for `now_s` into `out`, (H, W, 3) uint8.

        :param caption: ``loading`` or ``restarting``
        """
        if self._kept_s > -math.inf and now_s - self._kept_s > MAX_BASE_AGE_S:
            self._base[:] = _GREY
            self._kept_s, self._backdrop = -math.inf, None
        if self._backdrop is None:
            self._backdrop = self._expand()
        np.copyto(out, self._backdrop)
        height, width = out.shape[:2]
        _spin(out, width // 2, height // 2, max(min(width, height) // 16, 6), now_s)
        _write(out, _captions()[caption], height // 2 + max(min(width, height) // 8, 16))

    def _expand(self) -> Pixels:
        width, height = self._size
        grey = self._base.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[:height, :width]
        return np.repeat(grey[..., None], 3, axis=2)


def _spin(out: Pixels, x: int, y: int, radius: int, now_s: float) -> None:
    dot = max(radius // 5, 2)
    lead = now_s / _TURN_S * _DOTS
    for i in range(_DOTS):
        angle = 2 * math.pi * i / _DOTS
        cx, cy = x + round(radius * math.cos(angle)), y + round(radius * math.sin(angle))
        age = (lead - i) % _DOTS / _DOTS
        out[max(cy - dot, 0) : cy + dot, max(cx - dot, 0) : cx + dot] = round(255 - 150 * age)


def _write(out: Pixels, mask: Pixels, top: int) -> None:
    height, width = out.shape[:2]
    if mask.shape[1] > width or top + mask.shape[0] > height:
        return  # a picture too small for words still has the spinner
    left = (width - mask.shape[1]) // 2
    area = out[top : top + mask.shape[0], left : left + mask.shape[1]]
    np.maximum(area, mask[..., None], out=area)
