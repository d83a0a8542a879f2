"""A CuPy that needs no GPU: NumPy underneath, only CuPy's own ways to and from the CPU, and a log of what is copied.

It cannot show that a real GPU does the same; it shows which calls are made, on which stream, and in which order.
"""

from __future__ import annotations

import operator
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

DLPACK_CUDA = (2, 0)


def _bare(value: Any) -> Any:
    return value.values if isinstance(value, DeviceArray) else value


class DeviceArray:
    """Memory of a GPU: NumPy cannot read it."""

    device = 0
    log: list[str]

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape, self.dtype, self.size = self.values.shape, self.values.dtype, self.values.size

    def __dlpack_device__(self) -> tuple[int, int]:
        return DLPACK_CUDA

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("implicit conversion to NumPy is not allowed")

    def __getitem__(self, key: Any) -> Any:
        return type(self)(self.values[key])

    def __int__(self) -> int:
        self.log.append("host reads a number")
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def astype(self, dtype: Any) -> Any:
        self.log.append(f"{self.dtype} to {np.dtype(dtype)}")
        return type(self)(self.values.astype(dtype))

    def reshape(self, *shape: Any) -> Any:
        return type(self)(self.values.reshape(*shape))

    def ravel(self) -> Any:
        return type(self)(self.values.ravel())

    def set(self, host: np.ndarray, stream: Any) -> None:
        self.log.append(f"{host.size} {host.dtype} up on {stream.name}")
        self.values[...] = host

    def get(self, stream: Any, out: np.ndarray) -> None:
        self.log.append(f"{self.size} {self.dtype} down on {stream.name}")
        out[...] = self.values


def _binary(function: Any) -> Any:
    return lambda self, other: type(self)(function(self.values, _bare(other)))


for _name in ("mul", "add", "truediv", "eq", "gt", "lt", "and_"):
    setattr(DeviceArray, f"__{_name.rstrip('_')}__", _binary(getattr(operator, _name)))


class _Stream:
    def __init__(self, log: list[str], name: str) -> None:
        self.name, self._log = name, log

    def wait_event(self, event: Any) -> None:
        self._log.append(f"{self.name} waits for {event.recorded_on}")


class _Event:
    def __init__(self, log: list[str]) -> None:
        self.recorded_on, self._log = "nothing", log

    def record(self, stream: _Stream) -> None:
        self.recorded_on = stream.name

    def synchronize(self) -> None:
        self._log.append(f"host waits for {self.recorded_on}")


class FakeCupy(ModuleType):
    """As much of CuPy as frames need; what it does not define is NumPy's function on wrapped arrays."""

    def __init__(self) -> None:
        super().__init__("cupy")
        log: list[str] = []
        self.log = log
        kind = type("ndarray", (DeviceArray,), {"log": log, "__module__": "cupy", "__hash__": None})
        self.ndarray: Any = kind
        current = _Stream(log, "current")
        self.cuda = SimpleNamespace(
            Device=lambda index: nullcontext(),
            Stream=lambda non_blocking: _Stream(log, "copy"),
            Event=lambda block, disable_timing: _Event(log),
            get_current_stream=lambda: current,
            alloc_pinned_memory=bytearray,
            runtime=SimpleNamespace(getDevice=lambda: 0),
        )
        self.from_dlpack = lambda data: kind(np.from_dlpack(data))

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type):
            return found
        return lambda *args, **options: self.ndarray(found(*map(_bare, args), **options))
