"""`python -m ai_runner_base.pipeline.gpu_check`: what frames cost on the device here, and whether it is right.

Takes torch and CuPy, whichever are installed; compares what they make of pictures with NumPy, and times each stage of a
frame's way there and back. It is the test of the package ai-runner-cuda.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import HostError
from ._convert import to_uint8
from ._frame import VideoFrame
from ._lanes import Lane, cupy_lane, download, torch_lane
from .arrays import as_float, as_uint8, resize

_RUNS = 15
_SMALL = (256, 192)


@dataclass(frozen=True, slots=True)
class Device:
    """A library and one of its devices.

    :param name: for people
    :param word: for `VideoFrame`
    :param floats: a frame as this library's floats
    :param plain_up: uint8 to the device from ordinary memory
    :param lane: the way through pinned memory; None where there is none
    :param synchronize: wait until the device is done
    """

    name: str
    word: str
    floats: Callable[[VideoFrame], Any]
    plain_up: Callable[[NDArray[np.uint8]], Any]
    lane: Lane | None
    synchronize: Callable[[], None]


def devices(*, cpu: bool) -> Iterator[Device]:
    """Yield what this environment has.

    :param cpu: on the CPU, by NumPy and torch; else on the current CUDA device, by torch and CuPy
    """
    if cpu:
        yield Device(
            f"NumPy {np.__version__}", "cpu", lambda f: as_float(f.array[None]), np.copy, None, lambda: None
        )
    if importlib.util.find_spec("torch") is not None:
        yield from _torch(cpu)
    if not cpu and importlib.util.find_spec("cupy") is not None:
        yield _cupy()


def _torch(cpu: bool) -> Iterator[Device]:
    import torch

    if not cpu and not torch.cuda.is_available():
        return
    device = torch.device("cpu") if cpu else torch.device("cuda", torch.cuda.current_device())
    model = "the CPU" if cpu else f"{device} ({torch.cuda.get_device_name(device)})"
    yield Device(
        f"torch {torch.__version__} on {model}",
        str(device),
        lambda frame: frame.tensor,
        lambda pixels: torch.from_numpy(pixels).to(device, copy=True),
        torch_lane(device),
        torch.cpu.synchronize if cpu else torch.cuda.synchronize,
    )


def _cupy() -> Device:
    import cupy

    index = cupy.cuda.runtime.getDevice()
    model = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
    return Device(
        f"CuPy {cupy.__version__} on cuda:{index} ({model})",
        f"cuda:{index}",
        lambda frame: frame.cupy,
        cupy.asarray,
        cupy_lane(index),
        cupy.cuda.runtime.deviceSynchronize,
    )


def differences(device: Device) -> list[str]:
    """Return what comes out otherwise than by NumPy; empty is right."""
    pixels = np.random.default_rng(11).integers(0, 256, (96, 128, 3), np.uint8)
    floats = device.floats(_frame(pixels, device))
    levels, other = np.empty((2, 96, 128, 3), np.uint8)
    small, expected = np.empty((2, 50, 100, 3), np.uint8)
    to_uint8(floats, levels)
    to_uint8(resize(floats, 100, 50), small)
    to_uint8(resize(pixels.astype(np.float32) / 255, 100, 50), expected)
    to_uint8(floats * 1.5 - 0.25, other)
    clamped = np.empty_like(other)
    to_uint8(pixels / np.float32(255) * np.float32(1.5) - np.float32(0.25), clamped)
    found = {
        "a frame there and back": _steps(levels, pixels) > 0,
        "resizing": _steps(small, expected) > 1,
        "clamping and rounding": _steps(other, clamped) > 1,
    }
    return [what for what, differs in found.items() if differs]


def _steps(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int(np.abs(one.astype(np.int16) - other).max())


def stages_ms(device: Device, width: int, height: int) -> dict[str, float]:
    """Return the median time of each stage of a frame's way, in ms."""
    pixels = np.random.default_rng(12).integers(0, 256, (height, width, 3), np.uint8)
    there, out = device.plain_up(pixels), np.empty_like(pixels)
    floats = as_float(there)
    lane = device.lane
    stages: dict[str, Callable[[], Any]] = {"up, ordinary memory": lambda: device.plain_up(pixels)}
    if lane is not None:
        stages["up, pinned, to float"] = lambda: lane.upload(pixels, as_float)
    stages |= {
        "to float": lambda: as_float(there),
        f"resize to {_SMALL[0]}x{_SMALL[1]}": lambda: resize(floats, *_SMALL),
        "to uint8": lambda: as_uint8(floats),
        "down": lambda: download(there, out),
        "frame to floats and back": lambda: to_uint8(device.floats(_frame(pixels, device)), out),
    }
    return {name: _median_ms(stage, device.synchronize) for name, stage in stages.items()}


def _frame(pixels: NDArray[np.uint8], device: Device) -> VideoFrame:
    return VideoFrame(pixels, 0, Fraction(1, 30), device=device.word)


def _median_ms(stage: Callable[[], Any], synchronize: Callable[[], None]) -> float:
    times_ms = []
    for _ in range(_RUNS):
        synchronize()
        start_s = time.perf_counter()
        stage()
        synchronize()
        times_ms.append((time.perf_counter() - start_s) * 1000)
    return statistics.median(times_ms)


def report(device: Device, width: int, height: int) -> bool:
    """Print figures and findings; return whether the device is right."""
    size_mb = width * height * 3 / 1e6
    lines = [f"{device.name}, {width}x{height} ({size_mb:.1f} MB as uint8), medians of {_RUNS}"]
    for name, ms in stages_ms(device, width, height).items():
        rate = f"{size_mb / ms:8.1f} GB/s" if name.startswith(("up, ord", "down")) else ""
        lines.append(f"  {name:<26}{ms:9.3f} ms{rate}")
    wrong = differences(device)
    lines.append(f"  differs from NumPy: {', '.join(wrong)}" if wrong else "  agrees with NumPy")
    sys.stdout.write("\n".join(lines) + "\n")
    return not wrong


def main(arguments: list[str] | None = None) -> int:
    """Check all devices.

    :returns: 0: all agree with NumPy; 3: one does not; 5: there is no device
    """
    parser = argparse.ArgumentParser(description="What frames cost on this environment's device.")
    parser.add_argument("--cpu", action="store_true", help="on the CPU, by NumPy and torch")
    parser.add_argument("--size", default="1280x720", help="of the pictures that are timed")
    given = parser.parse_args(arguments)
    width, _, height = given.size.partition("x")
    found = list(devices(cpu=given.cpu))
    if not found:
        error = HostError(
            "neither torch nor CuPy has a CUDA device here",
            hint="`ai-runner doctor` says what the driver offers; --cpu checks the same lines on the CPU",
        )
        sys.stderr.write(f"error: {error.message}\n  {error.hint}\n")
        return error.exit_code
    results = [report(device, int(width), int(height)) for device in found]
    return 0 if all(results) else 3


if __name__ == "__main__":
    sys.exit(main())
