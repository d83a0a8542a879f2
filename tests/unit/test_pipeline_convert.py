"""One value range: whatever a pipeline returns becomes the right uint8."""

from __future__ import annotations

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ai_runner_base.errors import PipelineError
from ai_runner_base.pipeline import FLOAT_RANGE, picture_layout, to_uint8

pytestmark = pytest.mark.unit

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 40), st.just(3))


def converted(data, shape=None):
    out = np.full(shape or tuple(data.shape[-3:]), 77, np.uint8)
    to_uint8(data, out)
    return out


def expected(values):
    """The rule, written down slowly: clamp, NaN as 0, round to nearest with halves up."""
    wide = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
    return np.floor(np.clip(wide, *FLOAT_RANGE) * 255 + 0.5).astype(np.uint8)


def test_float_range_is_zero_to_one():
    """Decision 0003: this constant is the range, for input and output alike."""
    assert FLOAT_RANGE == (0.0, 1.0)


def test_every_level_survives_the_way_to_float_and_back():
    """All 256 levels come back as they were from every float type that can hold them."""
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    for dtype in (np.float16, np.float32, np.float64):
        assert np.array_equal(converted((levels / 255).astype(dtype)), levels), dtype


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-2, 2, width=32)))
def test_floats_follow_the_rule(values):
    """Any float in or near the range gives the nearest level."""
    assert np.abs(converted(values).astype(int) - expected(values)).max() <= 1
    exact = np.abs(values.astype(np.float64) * 255 % 1 - 0.5) > 1e-3
    assert np.array_equal(converted(values)[exact], expected(values)[exact])


@given(
    hnp.arrays(
        np.float32, SHAPES, elements=st.sampled_from([np.nan, np.inf, -np.inf, 2.0**100, -(2.0**100), 0.5])
    )
)
@settings(max_examples=30)
def test_numbers_gone_wild_are_tamed(values):
    """NaN is black, infinities and giants are clamped, and nothing warns."""
    assert np.array_equal(converted(values), expected(values))


def test_uint8_passes_unchanged_and_in_both_ranks():
    """(H, W, 3) and (1, H, W, 3) are the same picture; strides do not matter."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(converted(picture), picture)
    assert np.array_equal(converted(picture[None]), picture)
    assert np.array_equal(converted(picture[::-2, ::3]), picture[::-2, ::3])
    assert np.array_equal(converted((picture / 255)[None, :, ::-1]), picture[:, ::-1])


def test_big_pictures_are_converted_whole():
    """A picture of many bands has no seam and no forgotten row."""
    levels = np.random.default_rng(1).integers(0, 256, (1081, 333, 3), np.uint8)
    assert np.array_equal(converted(levels.astype(np.float32) / 255), levels)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"got \(4, 4\) uint8.*repeat a grey picture"),
        (np.zeros((3, 8, 8), np.float32), r"got \(3, 8, 8\) float32.*channels come last"),
        (np.zeros((8, 8, 4), np.uint8), r"leave alpha out"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"got \(2, 8, 8, 3\).*one picture at a time"),
        (np.zeros((0, 8, 3), np.uint8), r"got \(0, 8, 3\)"),
        (np.zeros((8, 8, 3), np.int16), r"got \(8, 8, 3\) int16.*convert to uint8"),
        (np.zeros((8, 8, 3), bool), r"got \(8, 8, 3\) bool"),
        ([[1, 2, 3]], r"got list; expected an RGB picture, \(H, W, 3\)"),
        (None, r"got NoneType"),
    ],
)
def test_what_is_no_picture_is_named(data, message):
    """The error says what came and what is expected."""
    with pytest.raises(PipelineError, match=message):
        picture_layout(data)


def test_wrong_size_is_named():
    """A picture of another size than its place is refused with both sizes."""
    with pytest.raises(PipelineError, match="got 8x6 px, the place for it holds 4x4 px"):
        converted(np.zeros((6, 8, 3), np.uint8), (4, 4, 3))


def test_floats_up_to_255_are_an_error_and_not_a_white_picture():
    """The commonest mistake is told at the first frame."""
    with pytest.raises(PipelineError, match=r"floats well above 1, such as 200.*divide by 255"):
        converted(np.full((32, 32, 3), 200.0))
    overshoot = np.full((32, 32, 3), 1.4, np.float32)
    assert converted(overshoot).min() == 255


def test_layout_tells_size_and_kind():
    """What a host must know before it can give a place for the picture."""
    layout = picture_layout(np.zeros((1, 6, 8, 3), np.float16))
    assert (layout.height, layout.width, layout.is_float, layout.size_bytes) == (6, 8, True, 144)


def test_other_cpu_libraries_come_in_by_dlpack():
    """An object that only speaks DLPack is read in place."""
    picture = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8)
    other = types.SimpleNamespace(shape=picture.shape, dtype=picture.dtype)
    other = type("Other", (), {**vars(other), "__dlpack__": lambda self, **o: picture.__dlpack__(**o)})
    other.__dlpack_device__ = lambda self: picture.__dlpack_device__()
    assert np.array_equal(converted(other()), picture)


def test_memory_that_nobody_can_read_is_named():
    """An array of an unknown library on an unknown device is refused, not guessed at."""
    stranger = types.SimpleNamespace(shape=(8, 8, 3), dtype=np.dtype("uint8"))
    with pytest.raises(PipelineError, match="which cannot be computed with"):
        converted(stranger)
