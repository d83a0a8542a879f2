"""A frame as a tensor or a CuPy array, inside the worker, on first use: here torch and CuPy are imported."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HostError
from ._convert import picture_layout
from ._lanes import cupy_lane, torch_lane
from .arrays import as_float

if TYPE_CHECKING:
    import torch


@cache
def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise HostError(
            f"frame.tensor needs torch, which this environment does not have ({error})",
            hint="add pytorch to the recipe's run requirements, or use frame.array",
        ) from error
    return torch


@cache
def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise HostError(
            f"frame.cupy needs CuPy, which this environment does not have ({error})",
            hint="add ai-runner-cuda to the recipe's run requirements, or use frame.array",
        ) from error
    return cupy


@cache
def _device(name: str) -> Any:
    torch = _torch()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{torch.cuda.current_device()}"
    return torch.device(name)


def to_tensor(data: Any, device_name: str) -> torch.Tensor:
    """A picture as (1, H, W, 3) float32 in [0, 1] on a device: one upload of uint8, conversion there.

    :param data: as in `VideoFrame`
    :param device_name: torch's name of the device, or ``auto``
    :raises HostError: torch is not installed
    """
    layout = picture_layout(data)
    device = _device(device_name)
    if device.type == "cuda" and isinstance(data, np.ndarray) and data.dtype == np.uint8:
        tensor = torch_lane(device).upload(data, as_float)
    else:
        tensor = as_float(_as_tensor(data).to(device))
    return tensor.reshape(1, layout.height, layout.width, 3)


def _as_tensor(data: Any) -> Any:
    torch = _torch()
    if isinstance(data, torch.Tensor):
        return data
    if isinstance(data, np.ndarray):
        # torch warns of read-only memory, since it could write into it
        return torch.from_numpy(data if data.flags.writeable else data.copy())
    return torch.from_dlpack(data)


def to_cupy(data: Any, device_name: str) -> Any:
    """A picture as a CuPy array, (1, H, W, 3) float32 in [0, 1]: as `to_tensor`.

    :param device_name: ``auto`` and ``cuda`` are the current CUDA device, ``cuda:N`` is another one
    :raises HostError: CuPy is not installed, or the device is none of CUDA
    """
    cupy = _cupy()
    layout = picture_layout(data)
    kind, _, number = device_name.partition(":")
    if kind not in ("auto", "cuda"):
        raise HostError(
            f"frame.cupy is on a CUDA device, not on {device_name!r}", hint="use frame.array there"
        )
    index = int(number) if number else int(cupy.cuda.runtime.getDevice())
    with cupy.cuda.Device(index):
        if isinstance(data, np.ndarray) and data.dtype == np.uint8:
            picture = cupy_lane(index).upload(data, as_float)
        elif isinstance(data, np.ndarray):
            picture = as_float(cupy.asarray(data))
        else:
            picture = as_float(cupy.from_dlpack(data))
    return picture.reshape(1, layout.height, layout.width, 3)
