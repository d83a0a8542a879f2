"""Where a node computes, and in which kind of numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ai_runner_base.errors import CallerError, HostError

PRECISIONS: Final = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Place:
    """A device of torch and the kind of its numbers.

    :param device: a ``torch.device``
    :param dtype: a ``torch.dtype``; None: what the node prefers (CUDA only)
    """

    device: Any
    dtype: Any | None


def torch() -> Any:
    """The module, imported late: the parameters of a node can be read without it.

    :raises HostError: it is not installed
    """
    try:
        return import_module("torch")
    except ModuleNotFoundError as error:
        raise HostError(
            "scope needs torch, which this environment does not have", hint="add pytorch"
        ) from error


def place(precision: str) -> Place:
    """The GPU if there is one, else the CPU.

    Nodes prefer float16 or bfloat16. On a CPU that is never left to them: float16 takes minutes for a frame there.

    :param precision: one of `PRECISIONS`
    :raises CallerError: float16 on a CPU
    """
    library = torch()
    is_gpu = library.cuda.is_available()
    if precision == "float16" and not is_gpu:
        raise CallerError(
            "precision = 'float16' takes minutes for a frame on a CPU", hint="use auto or bfloat16"
        )
    name = precision if precision != "auto" else "" if is_gpu else "float32"
    return Place(library.device("cuda" if is_gpu else "cpu"), getattr(library, name) if name else None)


def tensor(picture: NDArray[np.uint8], device: Any) -> Any:
    """A copy of a picture as scope takes it: (1, H, W, 3) uint8 in 0..255 on the device."""
    return torch().from_numpy(picture[None].copy()).to(device)


def release() -> None:
    """Give unused device memory back, so that another node finds room."""
    if torch().cuda.is_available():
        torch().cuda.empty_cache()


def keep_downloads_in(folder: str) -> None:
    """Let torch's own downloads (RAFT's weights) lie beside the other weights, unless told otherwise."""
    os.environ.setdefault("TORCH_HOME", folder)
