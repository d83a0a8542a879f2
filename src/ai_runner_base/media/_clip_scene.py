"""The test clip's picture: an aurora that drifts, glossy balls, a panel with a clock and the frame counter.

Drawn straight into YUV 4:2:0; everything that does not move is computed once per size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from ai_runner_base.media._clip_counter import STRIP_TOP, ClipMark, cell_edges, mark_bits
from ai_runner_base.media._colour import (
    AVCOL_709,
    AVCOL_SMPTE170M,
    RANGE_FULL,
    RANGE_LIMITED,
    SWS_709,
    matrix_for_height,
    plane_view,
)
from ai_runner_base.media._types import TICKS_PER_S, TIME_BASE

FLASH_S = 0.1
"""The lamp is lit and the beep sounds for this long at every full second."""
BLACK, PANEL, GREY, WHITE = 16, 28, 110, 235
NEUTRAL = 128
_BALL_COLOURS = ((255, 92, 138), (255, 177, 66), (72, 219, 251), (29, 209, 161), (162, 120, 255))
_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "00000 00100 00100 00000 00100 00100 00000",
    ".": "00000 00000 00000 00000 00000 00110 00110",
    "#": "01010 01010 11111 01010 11111 01010 01010",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}

Plane = NDArray[np.uint8]


def is_flash(time_s: float) -> bool:
    """Whether lamp and beep are on."""
    return time_s % 1.0 < FLASH_S - 1e-9


@dataclass(frozen=True, slots=True)
class _Sprite:
    """A small picture with soft edges, one (H, W) pair of planes per component, ready to blend."""

    weighted: tuple[NDArray[np.uint16], ...]
    keep: tuple[NDArray[np.uint16], ...]


class Scene:
    """Draws the clip's frames.

    :param width: in pixels; even
    :param fps: frames per second
    """

    def __init__(self, width: int, height: int, fps: Fraction | int = 30) -> None:
        if width % 2 or height % 2 or min(width, height) < 96:
            raise ValueError(f"the clip needs even sides of at least 96 pixels, not {width}x{height}")
        self.width, self.height, self.fps = width, height, Fraction(fps)
        self._unit = min(width, height)
        self._matrix = matrix_for_height(height)
        self._space = self._aurora(width + width // 4 & ~1, height + height // 4 & ~1)
        self._balls = [self._ball(colour, self._unit // 12 * 2) for colour in _BALL_COLOURS]
        scale = max(1, self._unit // 140)
        self._glyphs = {char: _glyph(rows, scale) for char, rows in _GLYPHS.items()}
        self._lamp = _disc(self._unit // 36 * 2)

    def pts(self, number: int) -> int:
        """Of a frame, in 1/90000 s."""
        return round(number * TICKS_PER_S / self.fps)

    def draw(self, number: int) -> av.VideoFrame:
        """One frame as yuv420p with its PTS."""
        time_s = float(number / self.fps)
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        planes = [_plane(frame, index) for index in range(3)]
        self._draw_background(planes, time_s)
        for index, ball in enumerate(self._balls):
            self._draw_ball(planes, ball, index, time_s)
        self._draw_panel(planes, number, time_s)
        frame.pts, frame.time_base = self.pts(number), TIME_BASE
        frame.colorspace = AVCOL_709 if self._matrix == SWS_709 else AVCOL_SMPTE170M
        frame.color_range = RANGE_LIMITED
        return frame

    def _draw_background(self, planes: Sequence[Plane], time_s: float) -> None:
        luma = self._space[0]
        room_x, room_y = luma.shape[1] - self.width, luma.shape[0] - self.height
        x = round(room_x / 4 * (1 + math.sin(time_s / 3))) * 2
        y = round(room_y / 4 * (1 + math.cos(time_s / 4))) * 2
        for plane, source, step in zip(planes, self._space, (1, 2, 2), strict=True):
            top, left = y // step, x // step
            plane[:] = source[top : top + plane.shape[0], left : left + plane.shape[1]]

    def _draw_ball(self, planes: Sequence[Plane], ball: _Sprite, index: int, time_s: float) -> None:
        side = ball.keep[0].shape[0]
        phase = index * 1.7
        x = (self.width - side) / 2 * (1 + math.sin(time_s * (0.5 + 0.13 * index) + phase))
        # They bounce off the panel's upper edge: |sin| is a bounce.
        drop = (self.height / 2 + (STRIP_TOP - 0.16) * self._unit - side) * 0.9
        y = drop * (1 - abs(math.sin(time_s * (1.3 + 0.21 * index) + phase)))
        x, y = int(x) & ~1, max(0, int(y)) & ~1
        for plane, weighted, keep, step in zip(planes, ball.weighted, ball.keep, (1, 2, 2), strict=True):
            size = side // step
            area = plane[y // step : y // step + size, x // step : x // step + size]
            area[:] = (area * keep + weighted) >> 8

    def _draw_panel(self, planes: Sequence[Plane], number: int, time_s: float) -> None:
        columns, rows = cell_edges(self.width, self.height)
        edge = max(2, self._unit // 90)
        flash = is_flash(time_s)
        top = rows[0] - 7 * self._glyph_scale - 3 * edge
        box = (top & ~1, (rows[2] + edge + 1) & ~1, (columns[0] - edge) & ~1, (columns[-1] + edge + 1) & ~1)
        _fill(planes, box, WHITE if flash else PANEL)
        inner = (box[0] + edge // 2, box[1] - edge // 2, box[2] + edge // 2, box[3] - edge // 2)
        planes[0][inner[0] : inner[1], inner[2] : inner[3]] = PANEL
        text_y = top + edge + edge // 2
        self._draw_text(planes[0], f"{_clock(time_s)}  #{number:06d}", columns[0], text_y)
        self._draw_lamp(planes[0], columns[-1] - self._lamp.shape[1], text_y, flash=flash)
        self._draw_strip(planes[0], columns, rows, ClipMark(number, flash))

    @property
    def _glyph_scale(self) -> int:
        return int(self._glyphs["0"].shape[0]) // 7

    def _draw_text(self, luma: Plane, text: str, x: int, y: int) -> None:
        for char in text:
            glyph = self._glyphs[char]
            area = luma[y : y + glyph.shape[0], x : x + glyph.shape[1]]
            np.maximum(area, glyph[: area.shape[0], : area.shape[1]], out=area)
            x += 6 * self._glyph_scale

    def _draw_lamp(self, luma: Plane, x: int, y: int, *, flash: bool) -> None:
        area = luma[y : y + self._lamp.shape[0], x : x + self._lamp.shape[1]]
        area[self._lamp] = WHITE if flash else GREY

    def _draw_strip(self, luma: Plane, columns: list[int], rows: list[int], mark: ClipMark) -> None:
        for index, bit in enumerate(mark_bits(mark)):
            left, right = columns[index], columns[index + 1]
            luma[rows[0] : rows[1], left:right] = WHITE if bit else BLACK
            luma[rows[1] : rows[2], left:right] = BLACK if bit else WHITE

    def _aurora(self, width: int, height: int) -> tuple[Plane, ...]:
        """Night sky above, warm horizon below, ribbons of light in between."""
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        u, v = x / self._unit, y / height
        ribbon = np.sin(5 * u + 2.5 * np.sin(2.2 * u + 4 * v)) * np.sin(6 * v + 1.5 * np.sin(3.1 * u))
        glow = np.clip(ribbon, 0, 1) ** 1.5 * (1 - v)
        haze = np.clip(np.sin(3.3 * u - 5 * v), 0, 1) ** 2 * 0.5
        red = 18 + 190 * v**1.7 + 90 * haze + 30 * glow
        green = 16 + 60 * v**3 + 200 * glow + 25 * haze
        blue = 70 + 60 * v + 110 * haze + 90 * glow * (1 - v)
        rgb = np.clip(np.stack((red, green, blue), axis=-1), 0, 255).astype(np.uint8)
        return self._to_yuv(rgb)

    def _ball(self, colour: tuple[int, int, int], side: int) -> _Sprite:
        """A lit sphere with a highlight and a soft rim."""
        y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) * 2 / side - 1
        radius = np.sqrt(x * x + y * y)
        z = np.sqrt(np.clip(1 - radius**2, 0, 1))
        light = np.clip(0.35 + 0.75 * (-0.45 * x - 0.6 * y + 0.65 * z), 0.15, 1.2)
        shine = np.clip(-0.5 * x - 0.62 * y + 0.6 * z, 0, 1) ** 24 * 210
        rgb = np.clip(np.array(colour, np.float32) * light[..., None] + shine[..., None], 0, 255)
        planes = self._to_yuv(rgb.astype(np.uint8))
        alpha = np.clip((1 - radius) * side / 4, 0, 1)
        coverage = (alpha, _halve(alpha), _halve(alpha))
        weighted = tuple(
            (plane * cover * 256).astype(np.uint16) for plane, cover in zip(planes, coverage, strict=True)
        )
        return _Sprite(weighted, tuple((256 - cover * 256).astype(np.uint16) for cover in coverage))

    def _to_yuv(self, rgb: Plane) -> tuple[Plane, ...]:
        source = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        frame = source.reformat(
            format="yuv420p",
            dst_colorspace=self._matrix,
            src_color_range=RANGE_FULL,
            dst_color_range=RANGE_LIMITED,
        )
        return tuple(_plane(frame, index).copy() for index in range(3))


def _plane(frame: av.VideoFrame, index: int) -> Plane:
    """A writable (H, W) view of one plane."""
    plane = frame.planes[index]
    return plane_view(frame, index)[: plane.height, : plane.width]


def _fill(planes: Sequence[Plane], box: tuple[int, int, int, int], luma: int) -> None:
    """A grey rectangle: top, bottom, left, right in pixels, all even."""
    for plane, value, step in zip(planes, (luma, NEUTRAL, NEUTRAL), (1, 2, 2), strict=True):
        plane[box[0] // step : box[1] // step, box[2] // step : box[3] // step] = value


def _glyph(rows: str, scale: int) -> Plane:
    bits = np.array([[int(bit) for bit in row] for row in rows.split()], np.uint8)
    return (bits.repeat(scale, 0).repeat(scale, 1) * WHITE).astype(np.uint8)


def _disc(side: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:side, 0:side] + 0.5
    inside: NDArray[np.bool_] = np.hypot(x - side / 2, y - side / 2) <= side / 2
    return inside


def _halve(values: NDArray[np.float32]) -> NDArray[np.float32]:
    blocks = values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2)
    halved: NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return halved


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(time_s, 60)
    return f"{int(minutes) % 100:02d}:{int(seconds):02d}.{int(seconds * 10) % 10}"
