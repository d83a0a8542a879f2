"""Speed of painting, of background blur, and of the switch "person | room | both", on two cores.

    scripts/pixiw run -e studio bench-style [--size 640x480] [--frames 40] [--runs 5] [--picture photo.png]

Prints for each the median over the runs of frames per second and of CPU time per frame, and the share of frames
that keep to 20 frames a second, which is the aim for the switch.

In the same run, as a limit: the multiply-adds of the painting network as one float32 matrix product of NumPy. The
input is a textured scene that turns, or a picture of yours that turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from ai_runner_background.params import BackgroundParams
from ai_runner_background.pipeline import Background
from ai_runner_base import FramePipeline, VideoFrame
from ai_runner_style.network import LEAST_SIDE_PX, SIDE_MULTIPLE_PX
from ai_runner_style.params import StyleParams
from ai_runner_style.picture import fitted_size
from ai_runner_style.pipeline import Style
from effects import load, scene, texture

AIM_MS = 1000 / 20
CORES = 2
WARM_UP_FRAMES = 4
MULTIPLY_ADDS_PER_PIXEL = (
    3 * 32 * 81 + 32 * 32 * 9 * (1 / 4 + 1 / 16 + 12 / 16) + 32 * 8 * 9 / 4 + 8 * 4 * 9 + 4 * 3 * 81
)
"""Layer by layer, of the network as published; all relative to one pixel of its input."""

Render = Callable[[VideoFrame], object]
Measured = tuple[float, float, float]


def pipelines(width: int, height: int) -> dict[str, Render]:
    """What is measured, by name."""
    size = {"width": width, "height": height}
    renders = {
        "style": ready(Style(), StyleParams(**size)),
        "background blur": ready(Background(), BackgroundParams(effect="blur", **size)),
    }
    for where in ("person", "room", "both"):
        renders[f"paint {where}"] = ready(Background(), BackgroundParams(where=where, **size))
    return renders


def ready(pipeline: FramePipeline, params: object) -> Render:
    pipeline.setup(params)
    return lambda frame: pipeline.transform(frame, params)


def matrix_product(width: int, height: int) -> Render:
    """As many multiply-adds as the network needs for a picture of this size, in the shape that suits a CPU best."""
    default = BackgroundParams(width=width, height=height).resolution
    pixels = int(np.prod(fitted_size((width, height), default, SIDE_MULTIPLE_PX, LEAST_SIDE_PX)))
    side = round((pixels * MULTIPLY_ADDS_PER_PIXEL) ** (1 / 3))
    one = np.random.default_rng(1).normal(size=(side, side)).astype(np.float32)
    return lambda _frame: one @ one


def measure(render: Render, pictures: list[np.ndarray], count: int) -> Measured:
    """Wall ms (median), CPU ms (mean), and the share of frames within the aim."""
    wall_ms = []
    for index in range(-WARM_UP_FRAMES, count):
        frame = VideoFrame(pictures[index % len(pictures)], index + WARM_UP_FRAMES, Fraction(1, 30))
        if index == 0:
            cpu_start = time.process_time()
        start = time.perf_counter()
        render(frame)
        if index >= 0:
            wall_ms.append(1000 * (time.perf_counter() - start))
    cpu_ms = 1000 * (time.process_time() - cpu_start) / count
    return statistics.median(wall_ms), cpu_ms, sum(ms <= AIM_MS for ms in wall_ms) / count


def report(name: str, measured: list[Measured], limit_ms: float) -> str:
    wall_ms, cpu_ms, in_time = (statistics.median(column) for column in zip(*measured, strict=True))
    best_ms = min(wall for wall, _, _ in measured)
    return (
        f"{name:16}{1000 / wall_ms:8.1f}{1000 / best_ms:8.1f}{wall_ms:8.1f}{cpu_ms:8.1f}{in_time:9.0%}"
        f"{cpu_ms / limit_ms:9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:CORES]))
    pictures = scene(load(options.picture, width, height) if options.picture else texture(width, height))

    renders = {"limit": matrix_product(width, height), **pipelines(width, height)}
    results: dict[str, list[Measured]] = {name: [] for name in renders}
    for _ in range(options.runs):  # interleaved: a busy moment of the machine hits all alike
        for name, render in renders.items():
            results[name].append(measure(render, pictures, options.frames))

    cores = len(os.sched_getaffinity(0))
    print(f"{width}x{height}, {cores} cores, {options.runs} runs of {options.frames} frames, ", end="")
    print(f"OpenCV {cv2.__version__}, onnxruntime {onnxruntime.__version__}")
    print("aim: 20 fps; limit: the network's multiply-adds as one matrix product\n")
    print(f"{'':16}{'fps':>8}{'best':>8}{'ms':>8}{'cpu-ms':>8}{'in time':>9}{'x limit':>9}")
    limit_ms = statistics.median(cpu for _, cpu, _ in results["limit"])
    for name, measured in results.items():
        print(report(name, measured, limit_ms))


if __name__ == "__main__":
    main()
