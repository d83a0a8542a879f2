"""Pictures as arrays of any library: the lines that run on a GPU give what NumPy gives, by the standard alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import array_api_strict
import cv2
import numpy as np
import pytest

from ai_runner_base.errors import PipelineError
from ai_runner_base.pipeline import arrays, to_uint8

pytestmark = pytest.mark.unit

DEVICE = array_api_strict.Device("device1")
"""Not the CPU: what comes from another device, or is read by NumPy, is an error there."""
RANDOM = np.random.default_rng(8)
PICTURE = RANDOM.integers(0, 256, (48, 64, 3), np.uint8)
FLOATS = RANDOM.uniform(-0.5, 1.5, (48, 64, 3)).astype(np.float32)
FLOATS[0, :3] = [[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3]


def strict(values: np.ndarray) -> Any:
    return array_api_strict.asarray(values, device=DEVICE)


def back(array: Any) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    assert array.device == DEVICE
    return np.from_dlpack(array.to_device(array_api_strict.Device("CPU_DEVICE")))


@pytest.fixture(params=["numpy", "the standard alone"])
def there(request: pytest.FixtureRequest) -> Any:
    return np.asarray if request.param == "numpy" else strict


def test_levels_become_floats_and_floats_keep_their_values(there: Any) -> None:
    made = back(arrays.as_float(there(PICTURE)))
    assert made.dtype == np.float32
    assert np.array_equal(made, PICTURE / np.float32(255))
    assert np.array_equal(back(arrays.as_float(there(FLOATS))), FLOATS, equal_nan=True)


@pytest.mark.parametrize("rank", [3, 4])
def test_floats_become_the_levels_that_to_uint8_writes(there: Any, rank: int) -> None:
    expected = np.empty((48, 64, 3), np.uint8)
    to_uint8(FLOATS, expected)
    made = back(arrays.as_uint8(there(FLOATS if rank == 3 else FLOATS[None])))
    assert made.dtype == np.uint8
    assert np.array_equal(made.reshape(48, 64, 3), expected)


def test_levels_are_left_as_they_are(there: Any) -> None:
    picture = there(PICTURE)
    assert arrays.as_uint8(picture) is picture


def test_every_level_survives_both_ways(there: Any) -> None:
    levels = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    assert np.array_equal(back(arrays.as_uint8(arrays.as_float(there(levels)))), levels)


def test_floats_up_to_255_are_an_error_on_the_device_too(there: Any) -> None:
    with pytest.raises(PipelineError, match=r"such as 200.*divide by 255"):
        arrays.as_uint8(there(np.full((32, 32, 3), 200.0, np.float32)))


@pytest.mark.parametrize("size", [(128, 96), (96, 128), (40, 30), (64, 48), (1, 1), (65, 47)])
def test_bilinear_is_what_opencv_does(there: Any, size: tuple[int, int]) -> None:
    smooth = cv2.GaussianBlur(np.clip(np.nan_to_num(FLOATS), 0, 1), (5, 5), 0)
    made = back(arrays.resize(there(smooth), *size))
    assert np.abs(made - cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR)).max() < 1e-5


def test_levels_are_resized_to_levels(there: Any) -> None:
    made = back(arrays.resize(there(PICTURE[None]), 100, 70))
    exact = back(arrays.resize(there(PICTURE[None].astype(np.float32)), 100, 70))
    assert (made.shape, made.dtype) == ((1, 70, 100, 3), np.uint8)
    assert np.array_equal(made, np.floor(exact + 0.5).astype(np.uint8))


def test_nearest_repeats_and_skips(there: Any) -> None:
    larger = back(arrays.resize(there(PICTURE), 128, 96, "nearest"))
    assert np.array_equal(larger, PICTURE.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(back(arrays.resize(there(larger), 64, 48, "nearest")), PICTURE)


def test_layouts_there_and_back(there: Any) -> None:
    networks = arrays.to_nchw(there(PICTURE))
    assert tuple(networks.shape) == (1, 3, 48, 64)
    assert np.array_equal(back(arrays.to_nhwc(networks))[0], PICTURE)
    assert np.array_equal(back(arrays.to_nhwc(networks[0, ...]))[0], PICTURE)


@pytest.mark.parametrize(
    ("shape", "size"), [((4, 4), (8, 8)), ((2, 1, 4, 4, 3), (8, 8)), ((4, 4, 3), (0, 8))]
)
def test_what_cannot_be_resized_is_named(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    with pytest.raises(PipelineError, match=r"cannot make \dx8 px of"):
        arrays.resize(np.zeros(shape), *size)


def test_what_cannot_be_computed_with_is_named() -> None:
    with pytest.raises(PipelineError, match="got module, which cannot be computed with"):
        arrays.library_of(ModuleType("stranger"))
