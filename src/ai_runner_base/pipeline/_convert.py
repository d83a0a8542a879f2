"""From whatever a pipeline returns to the uint8 pixels that travel.

One value range for the whole product: uint8 counts 0 to 255, floats run over `FLOAT_RANGE`
(docs/decisions/0003-value-range.md). The conversion happens on the device that holds the picture, so that one
byte for each value is copied back instead of four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import PipelineError
from ._lanes import download
from .arrays import EXPECTED, begin_scale_check, dtype_name, is_torch, library_of, quantise, to_levels

_BAND_VALUES: Final = 64 * 1024
"""Values converted at once on the CPU: the temporaries then stay in the second-level cache."""
_DLPACK_CPU: Final = frozenset({1, 3, 11})
"""DLPack device types whose memory the CPU reads: kDLCPU, kDLCUDAHost, kDLROCMHost."""


@dataclass(frozen=True, slots=True)
class PictureLayout:
    """Size of a picture, and what its values are.

    :param height: rows
    :param width: columns
    :param is_float: floats in `FLOAT_RANGE`, else uint8
    """

    height: int
    width: int
    is_float: bool

    @property
    def size_bytes(self) -> int:
        """Size once it is uint8: what a slot must hold."""
        return self.height * self.width * 3


def picture_layout(data: Any) -> PictureLayout:
    """Read size and kind of a picture without touching its pixels.

    :param data: an array of any library
    :raises PipelineError: it is no picture; says what came and what is expected
    """
    shape, dtype = getattr(data, "shape", None), getattr(data, "dtype", None)
    if shape is None or dtype is None:
        raise PipelineError(f"got {type(data).__name__}; {EXPECTED}", hint="give an array or a tensor")
    height, width = _check_shape(tuple(shape), dtype_name(dtype))
    return PictureLayout(height, width, _check_dtype(tuple(shape), dtype_name(dtype)))


def to_uint8(data: Any, out: NDArray[np.uint8]) -> None:
    """Write a picture as uint8: clamped, NaN as 0, rounded to the nearest step (halves up).

    :param data: (H, W, 3) or (1, H, W, 3) RGB; uint8, or float in [0, 1]; NumPy, torch, CuPy, or any library
        with DLPack
    :param out: (H, W, 3) uint8 on the CPU, of exactly this size
    :raises PipelineError: `data` is no picture, has another size than `out`, or its floats run to 255
    """
    layout = picture_layout(data)
    if out.shape != (layout.height, layout.width, 3):
        raise PipelineError(
            f"got {layout.width}x{layout.height} px, the place for it holds {out.shape[1]}x{out.shape[0]} px"
        )
    picture = _reachable(data)
    picture = picture[0] if len(picture.shape) == 4 else picture
    if isinstance(picture, np.ndarray):
        _convert_on_cpu(picture, out, layout)
    else:
        end_check = begin_scale_check(picture)
        download(to_levels(picture), out)
        end_check()  # the device is done by now, so its verdict is there


# Reading what came


def _check_shape(shape: tuple[int, ...], dtype: str) -> tuple[int, int]:
    inner = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if len(inner) == 3 and inner[2] == 3 and inner[0] > 0 and inner[1] > 0:
        return int(inner[0]), int(inner[1])
    raise PipelineError(f"got {shape} {dtype}; {EXPECTED}", hint=_shape_hint(inner))


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "channels come last: permute (C, H, W) to (H, W, C)"
    if len(shape) == 3 and shape[2] == 4:
        return "leave alpha out: picture[..., :3]"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return "repeat a grey picture in three channels"
    return "give one picture at a time" if len(shape) == 4 else ""


def _check_dtype(shape: tuple[int, ...], dtype: str) -> bool:
    if dtype == "uint8":
        return False
    if dtype.startswith(("float", "bfloat")):
        return True
    raise PipelineError(
        f"got {shape} {dtype}; {EXPECTED}", hint="convert to uint8, or to float32 and divide by 255"
    )


def _reachable(data: Any) -> Any:
    """`data` as an array whose library can be computed with: NumPy wherever the CPU can read it."""
    if isinstance(data, np.ndarray):
        return data
    has_numpy_dtype = hasattr(np, dtype_name(data.dtype))  # there is no bfloat16
    if is_torch(data):
        return data.detach().numpy() if data.device.type == "cpu" and has_numpy_dtype else data.detach()
    if _on_cpu(data) and has_numpy_dtype:
        return np.from_dlpack(data)
    library_of(data)
    return data


def _on_cpu(data: Any) -> bool:
    return hasattr(data, "__dlpack_device__") and int(data.__dlpack_device__()[0]) in _DLPACK_CPU


# Computing


def _convert_on_cpu(picture: NDArray[Any], out: NDArray[np.uint8], layout: PictureLayout) -> None:
    if not layout.is_float:
        np.copyto(out, picture)
        return
    begin_scale_check(picture)()
    rows = max(1, _BAND_VALUES // (layout.width * 3))
    for top in range(0, layout.height, rows):
        band = picture[top : top + rows]
        band = band if band.dtype.itemsize >= 4 else band.astype(np.float32)
        out[top : top + rows] = quantise(band, np).astype(np.uint8)
