"""What GPUs this host has, asked from NVML when its Python binding is installed.

The base environment has no CUDA in it; `nvidia-ml-py` is a small pure binding that is used when it is there.
Never run on a GPU here: the shapes are those of the network's contract, the calls those of NVML's documentation.
"""

from __future__ import annotations

import logging
from typing import Any

from .schemas import GpuInfo, GpuStats

log = logging.getLogger(__name__)


def gpu_info() -> dict[str, GpuInfo]:
    """Return the GPUs by decimal index; empty without NVML or a driver."""
    return {str(i): _info(nvml, handle) for i, nvml, handle in _handles()}


def gpu_stats() -> dict[str, GpuStats]:
    """Return the load of the GPUs by decimal index; empty without NVML or a driver."""
    return {str(i): _stats(nvml, handle) for i, nvml, handle in _handles()}


def _handles() -> list[tuple[int, Any, Any]]:
    try:
        import pynvml as nvml
    except ImportError:
        return []
    try:
        nvml.nvmlInit()
        return [(i, nvml, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        log.debug("no GPU by NVML: %s", error)
        return []


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _info(nvml: Any, handle: Any) -> GpuInfo:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return GpuInfo(
        id=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_total=memory.total,
        memory_free=memory.free,
        major=major,
        minor=minor,
    )


def _stats(nvml: Any, handle: Any) -> GpuStats:
    info, load = _info(nvml, handle), nvml.nvmlDeviceGetUtilizationRates(handle)
    return GpuStats(
        **info.model_dump(exclude={"major", "minor"}),
        utilization_compute=load.gpu,
        utilization_memory=load.memory,
    )
