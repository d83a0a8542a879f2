"""What can stand in a room's place: a colour, a gradient, a picture. All are kept until something changes."""

from __future__ import annotations

import base64
import binascii
import struct
from functools import lru_cache

import cv2
import numpy as np

from ai_runner_style.picture import Picture, Size, shrink, size_of

MOST_CHARACTERS = 800_000
"""Of a picture in a parameter: what fits into one control message, with room for the rest."""
_MOST_PIXELS = 4096 * 4096
_SCHEMES = ("data:image/jpeg;base64,", "data:image/png;base64,")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HILLS = (((58, 48, 104), 0.62, 0.10, 1.7), ((36, 30, 74), 0.74, 0.08, 3.1), ((16, 14, 40), 0.86, 0.07, 5.3))
"""Colour, height of the ridge, how far it swings, how often."""


@lru_cache(maxsize=4)
def gradient(size: Size, start: str, end: str, angle_deg: float) -> Picture:
    """A picture that goes evenly from one colour to another.

    :param start: ``#rrggbb``
    :param angle_deg: direction: 0 is to the right, 90 downwards
    """
    width, height = size
    across = np.cos(np.radians(angle_deg)) * np.linspace(-1, 1, width) * width
    down = np.sin(np.radians(angle_deg)) * np.linspace(-1, 1, height) * height
    along = across[None, :] + down[:, None]
    share = (along - along.min()) / max(float(np.ptp(along)), 1.0)
    first, last = (np.array(_rgb(text), float) for text in (start, end))
    colours = np.rint(first + (last - first) * share[..., None])
    return colours.astype(np.uint8)


def _rgb(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


@lru_cache(maxsize=2)
def picture(size: Size, text: str) -> Picture:
    """A picture that fills this size, cut where its shape differs; hills at night for an empty text."""
    if not text:
        return _hills(size)
    whole = from_data_url(text)
    width, height = size
    scale = max(width / whole.shape[1], height / whole.shape[0])
    inner = min(whole.shape[1], round(width / scale)), min(whole.shape[0], round(height / scale))
    left, top = ((side - part) // 2 for side, part in zip(size_of(whole), inner, strict=True))
    part = whole[top : top + inner[1], left : left + inner[0]]
    return shrink(part, size) if scale < 1 else cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)


@lru_cache(maxsize=1)
def from_data_url(text: str) -> Picture:
    """Read a JPEG or PNG picture.

    :return: (H, W, 3) RGB
    :raises ValueError: it is none, is damaged, or has more than 4096x4096 pixels
    """
    scheme = next((scheme for scheme in _SCHEMES if text.startswith(scheme)), None)
    if scheme is None:
        raise ValueError(f"must start with {' or '.join(_SCHEMES)}")
    try:
        data = base64.b64decode(text[len(scheme) :], validate=True)
        width, height = _dimensions(data)
    except (binascii.Error, struct.error) as error:
        raise ValueError(f"the picture is damaged: {error}") from error
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{width}x{height} is more than {_MOST_PIXELS} pixels")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the picture is damaged")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _dimensions(data: bytes) -> Size:
    """Width and height as the file's head says them: before anything of that size is made.

    :raises ValueError: neither JPEG nor PNG
    :raises struct.error: it ends too early
    """
    if data.startswith(_PNG):
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("neither a JPEG nor a PNG picture")
    place = 2
    while True:
        marker, length = struct.unpack_from(">xBH", data, place)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        place += 2 + length


def _hills(size: Size) -> Picture:
    """Stars over three ranges of hills."""
    width, height = size
    scene = gradient(size, "#0b1033", "#c8648c", 90.0).copy()
    rng = np.random.default_rng(11)
    for x, y, light in zip(
        rng.integers(0, width, 120),
        rng.integers(0, max(1, height // 2), 120),
        rng.uniform(0.3, 1, 120),
        strict=True,
    ):
        scene[y, x] = np.maximum(scene[y, x], int(255 * light))
    steps = np.arange(width + 1)
    for colour, level, swing, frequency in _HILLS:
        phase = steps / width * np.pi * frequency
        ridge = height * (level + swing * (0.7 * np.sin(phase + frequency) + 0.3 * np.sin(2.7 * phase)))
        outline = np.concatenate([np.stack([steps, ridge], 1), [(width, height), (0, height)]])
        cv2.fillPoly(scene, [np.rint(outline).astype(np.int32)], colour, cv2.LINE_AA)
    return scene
