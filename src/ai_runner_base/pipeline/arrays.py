"""Range, size and layout of pictures as arrays of any library, on the device that holds them.

Written against the array API standard (https://data-apis.org/array-api, 2024.12), so that the lines that run on a GPU
through torch or CuPy are the ones that tests run with NumPy, torch on the CPU, and an implementation that has nothing
but the standard. Nothing here leaves the device or waits for it, but for one look of `as_uint8` at a sample.

Colours are not converted: pictures are RGB from the decoder to the encoder, which do that once and in C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np

from ..errors import PipelineError

FLOAT_RANGE: Final = (0.0, 1.0)
"""Black and white of float pictures."""

EXPECTED: Final = "expected an RGB picture, (H, W, 3) or (1, H, W, 3), uint8 in 0..255 or float in 0..1"

_WRONG_SCALE: Final = 2.0
"""A picture with most values above this is not in `FLOAT_RANGE` but in 0..255, and would come out white."""
_WRONG_SCALE_MAX: Final = 1024.0
"""Beyond this it is not 0..255 either, but a number gone wild, which is clamped like any other."""
_SAMPLE_STEP: Final = 16


def as_float(picture: Any) -> Any:
    """Return a picture as float32 in `FLOAT_RANGE`: uint8 is divided by 255, floats keep their values.

    :param picture: uint8 or floats of any shape
    """
    xp = library_of(picture)
    values = xp.astype(picture, xp.module.float32)
    if dtype_name(picture.dtype) == "uint8":
        values /= 255.0
    return values


def as_uint8(picture: Any) -> Any:
    """Return a picture as uint8: floats clamped, NaN as 0, rounded to the nearest level with halves up.

    :param picture: (…, H, W, 3), uint8 or floats in `FLOAT_RANGE`
    :raises PipelineError: the floats run to 255
    """
    begin_scale_check(picture)()
    return to_levels(picture)


def to_levels(picture: Any) -> Any:
    """`as_uint8` without a look at the scale, so that nothing waits for the device."""
    if dtype_name(picture.dtype) == "uint8":
        return picture
    xp = library_of(picture)
    if dtype_name(picture.dtype) not in ("float32", "float64"):
        picture = xp.astype(picture, xp.module.float32)
    return xp.astype(quantise(picture, xp.module), xp.module.uint8)


def quantise(values: Any, xp: Any) -> Any:
    """Return floats in `FLOAT_RANGE` as floats in [0.5, 255.5], to be cut off.

    :param xp: the module of their library
    """
    low, high = FLOAT_RANGE
    values = xp.clip(values, low, high)
    values = xp.where(values == values, values, low)  # NaN is the one value that differs from itself
    return values * 255.0 + 0.5


def begin_scale_check(picture: Any) -> Callable[[], None]:
    """Have a sample of a picture, (…, H, W, 3), looked at.

    Reading the verdict keeps a processor busy until the device has got so far: best when it is done anyway.

    :returns: reads the verdict; raises `PipelineError` where more than half of the sample is well above
        `FLOAT_RANGE`, as in a picture that runs to 255
    """
    if dtype_name(picture.dtype) == "uint8":
        return lambda: None
    sample = picture[..., ::_SAMPLE_STEP, ::_SAMPLE_STEP, :]
    wrong = (sample > _WRONG_SCALE) & (sample < _WRONG_SCALE_MAX)
    xp = library_of(picture)
    count = xp.module.sum(xp.astype(wrong, xp.module.int32))

    def end() -> None:
        if int(count) * 2 > sample.shape[-3] * sample.shape[-2] * sample.shape[-1]:
            raise PipelineError(
                f"got floats well above {FLOAT_RANGE[1]:g}, such as {float(xp.module.max(sample)):.4g}; {EXPECTED}",
                hint="divide by 255, or convert to uint8",
            )

    return end


def resize(picture: Any, width: int, height: int, method: Literal["bilinear", "nearest"] = "bilinear") -> Any:
    """Return a picture in another size, of the same dtype, on the same device.

    Pixel centres are where torch (``align_corners=False``) and OpenCV have them. Nothing is smoothed before a picture
    is made smaller: below half the size ask for the pipeline's ``width`` and ``height`` instead, which the runner's
    scaler fits to. A gather for each direction is some ten small kernels, microseconds on a GPU, the same everywhere.

    :param picture: (H, W, C) or (N, H, W, C)
    :param width: new width, px
    :param height: new height, px
    """
    rows, columns = len(picture.shape) - 3, len(picture.shape) - 2
    if rows not in (0, 1) or width < 1 or height < 1:
        raise PipelineError(f"cannot make {width}x{height} px of {tuple(picture.shape)}; {EXPECTED}")
    if method == "nearest":
        return _pick(_pick(picture, height, rows), width, columns)
    xp = library_of(picture)
    values = picture if dtype_name(picture.dtype) != "uint8" else xp.astype(picture, xp.module.float32)
    values = _blend(_blend(values, height, rows), width, columns)
    return values if values.dtype == picture.dtype else xp.astype(values + 0.5, picture.dtype)


def to_nchw(picture: Any) -> Any:
    """Return (H, W, C) or (N, H, W, C) as (N, C, H, W), as networks want it. A view where the library has views."""
    xp = library_of(picture)
    picture = picture if len(picture.shape) == 4 else picture[None, ...]
    return xp.permute(picture, (0, 3, 1, 2))


def to_nhwc(picture: Any) -> Any:
    """Return (C, H, W) or (N, C, H, W) as (N, H, W, C), as frames have it. A view where the library has views."""
    xp = library_of(picture)
    picture = picture if len(picture.shape) == 4 else picture[None, ...]
    return xp.permute(picture, (0, 2, 3, 1))


def dtype_name(dtype: Any) -> str:
    """Return ``uint8``, ``bfloat16``, …, whatever library's dtype it is."""
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


# Size


def _pick(values: Any, size: int, axis: int) -> Any:
    if values.shape[axis] == size:
        return values
    xp, length = library_of(values), values.shape[axis]
    index = xp.arange(size, like=values) * length // size
    return xp.take(values, index, axis)


def _blend(values: Any, size: int, axis: int) -> Any:
    """Interpolate along one axis between the two nearest samples."""
    if values.shape[axis] == size:
        return values
    xp, length = library_of(values), values.shape[axis]
    index = xp.arange(size, like=values)
    place = (xp.astype(index, xp.module.float32) + 0.5) * (length / size) - 0.5
    place = xp.module.clip(place, 0.0, length - 1.0)
    before = xp.module.floor(place)
    along = (-1, *[1] * (len(values.shape) - 1 - axis))
    weight = xp.module.reshape(xp.astype(place - before, values.dtype), along)
    low = xp.astype(before, index.dtype)
    high = xp.module.clip(low + 1, 0, length - 1)
    first = xp.take(values, low, axis)
    return first + (xp.take(values, high, axis) - first) * weight


# Libraries. What they share goes by ``module``; where they differ there is a method here.


class _Standard:
    """A library with the array API standard, such as JAX."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def astype(self, values: Any, dtype: Any) -> Any:
        return self.module.astype(values, dtype)

    def arange(self, size: int, like: Any) -> Any:
        return self.module.arange(size, device=like.device)

    def take(self, values: Any, index: Any, axis: int) -> Any:
        return self.module.take(values, index, axis=axis)

    def permute(self, values: Any, axes: tuple[int, ...]) -> Any:
        return self.module.permute_dims(values, axes)


class _NumpyLike(_Standard):
    """NumPy and CuPy, which do the same under older names in all of their versions."""

    def astype(self, values: Any, dtype: Any) -> Any:
        return values.astype(dtype)

    def arange(self, size: int, like: Any) -> Any:
        return self.module.arange(size)

    def permute(self, values: Any, axes: tuple[int, ...]) -> Any:
        return self.module.transpose(values, axes)


class _Torch(_Standard):
    """torch, whose functions predate the standard."""

    def astype(self, values: Any, dtype: Any) -> Any:
        return values.to(dtype)

    def take(self, values: Any, index: Any, axis: int) -> Any:
        return self.module.index_select(values, axis, index)

    def permute(self, values: Any, axes: tuple[int, ...]) -> Any:
        return values.permute(axes)


def library_of(array: Any) -> Any:
    """Return the library of an array, in the words of the standard; torch only if somebody has imported it.

    :raises PipelineError: it is of no library that can be computed with
    """
    if isinstance(array, np.ndarray):
        return _NumpyLike(np)
    if is_torch(array):
        return _Torch(sys.modules["torch"])
    name = type(array).__module__.partition(".")[0]
    if name == "cupy":
        return _NumpyLike(sys.modules["cupy"])
    if hasattr(array, "__array_namespace__"):
        return _Standard(array.__array_namespace__())
    raise PipelineError(f"got {type(array).__name__}, which cannot be computed with; {EXPECTED}")


def is_torch(array: Any) -> bool:
    """Whether it is a tensor; imports nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)
