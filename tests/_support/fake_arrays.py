"""Arrays that stand in for a GPU's: NumPy underneath, with only what CuPy or torch offers, and a log of what
is copied.

They cannot show that a real GPU does the same; they show which calls are made, where, and in which order.
"""

from __future__ import annotations

import operator
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

DLPACK_CUDA = (2, 0)


class DeviceArray:
    """What CuPy's arrays have in common with torch's tensors. NumPy cannot read it."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape, self.dtype = self.values.shape, self.values.dtype
        self.ndim = self.values.ndim

    def __dlpack_device__(self) -> tuple[int, int]:
        return DLPACK_CUDA

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("implicit conversion to NumPy is not allowed")

    def __getitem__(self, key: Any) -> Any:
        return type(self)(self.values[key])

    def __int__(self) -> int:
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def sum(self) -> Any:
        return type(self)(self.values.sum())

    def max(self) -> Any:
        return type(self)(self.values.max())


def _binary(function: Any) -> Any:
    def method(self: DeviceArray, other: Any) -> Any:
        return type(self)(function(self.values, getattr(other, "values", other)))

    return method


for _name in ("mul", "add", "sub", "truediv", "eq", "gt", "lt", "and_"):
    setattr(DeviceArray, f"__{_name.rstrip('_')}__", _binary(getattr(operator, _name)))


class CupyLike(DeviceArray):
    """Knows the array API and ``get``; `copied` lists the dtypes that went to the CPU."""

    copied: ClassVar[list[str]] = []

    def __array_namespace__(self) -> ModuleType:
        return _namespace(CupyLike)

    def get(self, out: np.ndarray) -> None:
        self.copied.append(str(self.dtype))
        np.copyto(out, self.values)


DeviceArray.__rmul__ = DeviceArray.__mul__  # type: ignore[attr-defined]  # set just above


def _namespace(kind: type[DeviceArray]) -> Any:
    module: Any = ModuleType("array_library")
    module.uint8, module.float32 = np.dtype("uint8"), np.dtype("float32")
    module.clip = lambda array, low, high: kind(np.clip(array.values, low, high))
    module.where = lambda test, yes, no: kind(np.where(test.values, yes.values, np.float32(no)))
    module.astype = lambda array, dtype: kind(array.values.astype(dtype))
    return module


class FakeTorch(ModuleType):
    """As much of torch as a frame needs. `log` tells what was done with tensors, in order."""

    def __init__(self, *, has_cuda: bool) -> None:
        super().__init__("torch")
        self.log: list[str] = []
        log = self.log

        class Device:
            def __init__(self, name: str) -> None:
                self.type = name.partition(":")[0]

        class Tensor(DeviceArray):
            device = Device("cpu")

            def at(self, device: Any) -> Any:
                self.device = device
                return self

            def __getitem__(self, key: Any) -> Any:
                return Tensor(self.values[key]).at(self.device)

            def detach(self) -> Any:
                return self

            def pin_memory(self) -> Any:
                log.append("pin")
                return self

            def to(self, target: Any, non_blocking: bool = False) -> Any:
                if isinstance(target, Device):
                    log.append(f"{self.dtype} {self.device.type}->{target.type}")
                    return Tensor(self.values).at(target)
                log.append(f"{self.dtype} to {target} on {self.device.type}")
                return Tensor(self.values.astype(target)).at(self.device)

            def reshape(self, *shape: int) -> Any:
                return Tensor(self.values.reshape(shape)).at(self.device)

            def div_(self, number: float) -> Any:
                self.values = self.values / np.float32(number)
                return self

            def copy_(self, source: Any) -> None:
                log.append(f"copy {source.dtype}")
                np.copyto(self.values, source.values)

        namespace = _namespace(Tensor)
        self.Tensor, self.device = Tensor, Device
        self.uint8, self.float32 = namespace.uint8, namespace.float32
        self.clip, self.where = namespace.clip, namespace.where
        self.from_numpy = Tensor
        self.from_dlpack = lambda data: Tensor(np.from_dlpack(data))
        self.cuda = ModuleType("torch.cuda")
        self.cuda.is_available = lambda: has_cuda  # type: ignore[attr-defined]  # a module made by hand
