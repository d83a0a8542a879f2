"""Speed of the picture effects on one core, beside the limit of 30 frames a second and a plain blur of the
same run.

    python bench/effects.py [--size 640x480] [--frames 120] [--runs 5] [--picture photo.png]

Prints for each effect the median over the runs of frames per second, CPU time per frame, and how often it
fits in the time of one frame. The input is a textured scene that turns, with a disc that crosses it, or a
picture of yours that turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes/ai-runner-effects/src"))

from ai_runner_base import VideoFrame
from ai_runner_effects.params import EffectsParams
from ai_runner_effects.pipeline import Effects

LIMIT_MS = 1000 / 30
BLUR_SIGMA_PX = 5.0
WARM_UP_FRAMES = 10
DISTINCT_FRAMES = 60

Picture = NDArray[np.uint8]
Render = Callable[[VideoFrame], object]


def texture(width: int, height: int) -> Picture:
    """Coloured noise of several sizes: edges everywhere, as in a busy room."""
    rng = np.random.default_rng(7)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (4, 12, 40, 120):
        noise = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST) / 4
    return picture.astype(np.uint8)


def scene(source: Picture) -> list[Picture]:
    """The source, swaying and growing, with a bright disc on its way across and some noise of a sensor."""
    height, width = source.shape[:2]
    rng = np.random.default_rng(8)
    frames = []
    for index in range(DISTINCT_FRAMES):
        phase = 2 * np.pi * index / DISTINCT_FRAMES
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 6 * np.sin(phase), 1.1 + 0.05 * np.cos(phase))
        picture = cv2.warpAffine(source, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        centre = (int(width * (0.5 + 0.4 * np.sin(phase))), int(height * (0.5 + 0.3 * np.cos(phase))))
        cv2.circle(picture, centre, height // 8, (255, 210, 90), -1, cv2.LINE_AA)
        noise = rng.integers(-3, 4, picture.shape, np.int16)
        frames.append(np.clip(picture + noise, 0, 255).astype(np.uint8))
    return frames


def effect(name: str) -> Render:
    """A fresh pipeline with its default parameters."""
    params = EffectsParams(effect=name)
    pipeline = Effects()
    pipeline.setup(params)
    return lambda frame: pipeline.transform(frame, params)


def blur(frame: VideoFrame) -> Picture:
    return cv2.GaussianBlur(frame.array, (0, 0), BLUR_SIGMA_PX)


def measure(render: Render, pictures: list[Picture], count: int) -> tuple[float, float, float]:
    """Wall ms (median), CPU ms (mean), and the share of frames within the limit."""
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
    return statistics.median(wall_ms), cpu_ms, sum(ms <= LIMIT_MS for ms in wall_ms) / count


def load(path: Path, width: int, height: int) -> Picture:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"cannot read {path} as a picture")
    return cv2.cvtColor(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    cv2.setNumThreads(1)
    pictures = scene(load(options.picture, width, height) if options.picture else texture(width, height))

    names = ("neon", "cartoon", "flow", "blur")
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for _ in range(options.runs):  # interleaved: a busy moment of the machine hits all alike
        for name in names:
            render = blur if name == "blur" else effect(name)
            results[name].append(measure(render, pictures, options.frames))

    runs = f"{options.runs} runs of {options.frames} frames"
    print(f"{width}x{height}, one core ({core}), {runs}, OpenCV {cv2.__version__}")
    print(
        f"limit: {LIMIT_MS:.1f} ms per frame (30 fps); blur: cv2.GaussianBlur, sigma {BLUR_SIGMA_PX:g} px\n"
    )
    print(f"{'':10}{'fps':>8}{'ms':>8}{'cpu-ms':>8}{'in time':>9}{'x blur':>8}{'of limit':>10}")
    reference_ms = statistics.median(cpu for _, cpu, _ in results["blur"])
    for name in names:
        wall_ms, cpu_ms, in_time = (statistics.median(column) for column in zip(*results[name], strict=True))
        print(
            f"{name:10}{1000 / wall_ms:8.0f}{wall_ms:8.1f}{cpu_ms:8.1f}{in_time:9.0%}"
            f"{cpu_ms / reference_ms:8.1f}{cpu_ms / LIMIT_MS:10.0%}"
        )


if __name__ == "__main__":
    main()
