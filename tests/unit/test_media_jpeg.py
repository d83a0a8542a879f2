"""JPEG both ways: what goes in comes out, and what is no picture is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from ai_runner_base.errors import CallerError
from ai_runner_base.media import JpegDecoder, JpegEncoder, jpeg_size

pytestmark = pytest.mark.unit


def _smooth(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) * 255 // (width + height)]
    return np.stack(planes, -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (512, 512), (641, 359), (97, 64)])
def test_picture_survives_the_round_trip(size: tuple[int, int]) -> None:
    pixels = _smooth(*size)
    data = JpegEncoder().encode(pixels)
    assert jpeg_size(data) == size
    frame = JpegDecoder().decode(data)
    back = frame.to_ndarray(format="rgb24").astype(int)
    assert (frame.width, frame.height) == size
    assert np.abs(back - pixels).mean() < 4


def test_one_encoder_follows_a_change_of_size() -> None:
    encoder = JpegEncoder()
    sizes = [(64, 48), (128, 72), (64, 48)]
    assert [jpeg_size(encoder.encode(_smooth(*size))) for size in sizes] == sizes


def test_smaller_step_keeps_more() -> None:
    noise = np.random.default_rng(7).integers(0, 255, (128, 128, 3), np.uint8)
    assert len(JpegEncoder(2).encode(noise)) > 2 * len(JpegEncoder(20).encode(noise))


def test_step_outside_the_codecs_range_is_refused() -> None:
    with pytest.raises(ValueError, match="2 to 31, got 40"):
        JpegEncoder(40)


@pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(20), b"\xff\xd8", b"\xff\xd8\xff\xd9" + bytes(20)])
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(CallerError, match="JPEG"):
        JpegDecoder().decode(data)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    data = bytearray(JpegEncoder().encode(_smooth(64, 64)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(CallerError, match="65535x65535"):
        JpegDecoder().decode(bytes(data))


def test_damaged_picture_is_refused_and_the_next_one_decodes() -> None:
    decoder = JpegDecoder()
    data = JpegEncoder().encode(_smooth(256, 256))
    with pytest.raises(CallerError, match="256x256"):
        decoder.decode(data[: len(data) // 3])
    assert decoder.decode(data).width == 256
