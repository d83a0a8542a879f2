"""The one place that imports torch: a frame as a tensor, inside the worker, on first use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HostError
from ._convert import picture_layout

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
def _device(name: str) -> Any:
    torch = _torch()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def to_tensor(data: Any, device_name: str) -> torch.Tensor:
    """A picture as (1, H, W, 3) float32 in [0, 1] on a device: one upload of uint8, conversion there.

    :param data: as in `VideoFrame`
    :param device_name: torch's name of the device, or ``auto``
    :raises HostError: torch is not installed
    """
    torch = _torch()
    layout = picture_layout(data)
    device = _device(device_name)
    tensor = _upload(_as_tensor(data), device).reshape(1, layout.height, layout.width, 3)
    if tensor.dtype != torch.uint8:
        return tensor.to(torch.float32)
    return tensor.to(torch.float32).div_(255.0)


def _as_tensor(data: Any) -> Any:
    torch = _torch()
    if isinstance(data, torch.Tensor):
        return data
    if isinstance(data, np.ndarray):
        # torch warns of read-only memory, since it could write into it
        return torch.from_numpy(data if data.flags.writeable else data.copy())
    return torch.from_dlpack(data)


def _upload(tensor: Any, device: Any) -> Any:
    """Move a tensor; through pinned memory to CUDA, whose allocator keeps and guards the staging buffers."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
