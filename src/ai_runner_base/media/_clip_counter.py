"""A frame number as black and white blocks, which a machine still reads after coding, scaling and cropping.

Every bit is two blocks, one above the other: white over black is 1, black over white is 0. The first bit is
always 1, so that an inverted picture is read as well. All places are relative to the picture's centre, in
units of its shorter side, so that the strip survives scaling and any centre crop to a square.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VALUE_BITS, CHECK_BITS = 20, 5
BIT_COUNT = 1 + VALUE_BITS + CHECK_BITS + 1
WRAP = 1 << VALUE_BITS
CELL = 1 / 32
"""Width and height of a block; 16 pixels in a 512x512 picture."""
STRIP_TOP = 0.285
"""From the picture's centre down to the strip's upper edge."""
MIN_CONTRAST = 40.0
_ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16)


@dataclass(frozen=True, slots=True)
class ClipMark:
    """What a picture of the clip says about itself.

    :param frame: its number, modulo 2**20
    :param flash: whether the lamp is lit: during the first tenth of every second, together with the beep
    """

    frame: int
    flash: bool


def mark_bits(mark: ClipMark) -> list[bool]:
    """The strip's bits from left to right."""
    value = mark.frame % WRAP
    number = (1 << VALUE_BITS | value) << CHECK_BITS | _check(value)
    bits = [bool(number >> shift & 1) for shift in range(VALUE_BITS + CHECK_BITS, -1, -1)]
    return [*bits, mark.flash]


def cell_edges(width: int, height: int, unit: float | None = None) -> tuple[list[int], list[int]]:
    """Pixel columns and rows between which the blocks lie: `BIT_COUNT` + 1 and 3 of them."""
    side = unit or min(width, height)
    left = width / 2 - BIT_COUNT * CELL * side / 2
    columns = [round(left + index * CELL * side) for index in range(BIT_COUNT + 1)]
    rows = [round(height / 2 + (STRIP_TOP + index * CELL) * side) for index in range(3)]
    return columns, rows


def read_mark(rgb: NDArray[np.uint8]) -> ClipMark | None:
    """Read the strip of a picture.

    :param rgb: (H, W, 3) uint8
    :returns: None where there is no strip, or none that can be trusted
    """
    height, width = rgb.shape[:2]
    for unit in _units(width, height):
        mark = _read_at(rgb, *cell_edges(width, height, unit))
        if mark is not None:
            return mark
    return None


def read_counter(rgb: NDArray[np.uint8]) -> int | None:
    """The frame number in a picture of the clip.

    :param rgb: (H, W, 3) uint8
    :returns: None where there is none that can be trusted
    """
    mark = read_mark(rgb)
    return mark.frame if mark else None


def _units(width: int, height: int) -> Iterator[float]:
    """The shorter side of the source picture, in pixels of this one, for every aspect it may have had."""
    seen = [float(min(width, height))]
    yield seen[0]
    for aspect in _ASPECTS:
        unit = max(width / aspect, height) * min(aspect, 1.0)
        if all(abs(unit - other) > 1 for other in seen):
            seen.append(unit)
            yield unit


def _read_at(rgb: NDArray[np.uint8], columns: list[int], rows: list[int]) -> ClipMark | None:
    if columns[0] < 0 or columns[-1] > rgb.shape[1] or rows[-1] > rgb.shape[0] or columns[1] - columns[0] < 3:
        return None
    strip = rgb[rows[0] : rows[2], columns[0] : columns[-1]].mean(axis=2)
    margin, middle = max(1, (rows[1] - rows[0]) // 4), rows[1] - rows[0]
    upper = strip[margin : middle - margin].mean(axis=0)
    lower = strip[middle + margin : -margin].mean(axis=0)
    contrast = upper - lower
    edges = [column - columns[0] for column in columns]
    cells = [
        float(contrast[left + margin : right - margin].mean()) for left, right in itertools.pairwise(edges)
    ]
    if min(abs(cell) for cell in cells) < MIN_CONTRAST:
        return None
    inverted = cells[0] < 0
    return parse_bits([(cell > 0) != inverted for cell in cells])


def parse_bits(bits: list[bool]) -> ClipMark | None:
    """Undo `mark_bits`; None when the bits contradict each other."""
    number = int("".join("1" if bit else "0" for bit in bits[1:-1]), 2)
    value = number >> CHECK_BITS
    if number & ((1 << CHECK_BITS) - 1) != _check(value):
        return None
    return ClipMark(value, bits[-1])


def _check(value: int) -> int:
    return (value ^ value >> 5 ^ value >> 10 ^ value >> 15 ^ 0b10101) & 0b11111
