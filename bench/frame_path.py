"""A frame's way to the device and back, stage by stage: by NumPy and torch on the CPU, by torch and CuPy on a GPU.

Prints the median time of each stage, beside a plain copy of the same bytes in this process: the limit for what moves
them. Whether the results are right is checked as well. `gpu_check` does the measuring.

    python bench/frame_path.py [--sizes 640x480 1280x720 1920x1080]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from ai_runner_base.pipeline import gpu_check

RUNS = 50


def copy_ms(width: int, height: int) -> float:
    """Median time of copying a picture."""
    source = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    target = np.empty_like(source)
    times_ms = []
    for _ in range(RUNS):
        start_s = time.perf_counter()
        np.copyto(target, source)
        times_ms.append((time.perf_counter() - start_s) * 1000)
    return statistics.median(times_ms)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sizes", nargs="*", default=["640x480", "1280x720", "1920x1080"])
    sizes = [tuple(map(int, size.split("x"))) for size in options.parse_args().sizes]
    found = [device for cpu in (True, False) for device in gpu_check.devices(cpu=cpu)]
    right = True
    for width, height in sizes:
        limit_ms = copy_ms(width, height)
        print(f"{width}x{height}: a plain copy of its bytes (limit) takes {limit_ms:.3f} ms")
        for device in found:
            right &= gpu_check.report(device, width, height)
    if not any("cuda" in device.word for device in found):
        print("no GPU here, or neither torch nor CuPy that can use it")
    raise SystemExit(0 if right else 3)


if __name__ == "__main__":
    main()
