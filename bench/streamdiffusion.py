"""Our stream batch beside PyPI's `streamdiffusion` 0.1.1: same random model, same steps, same sizes, in one run.

    python3 -m pip install --no-deps --target .bench streamdiffusion==0.1.1
    scripts/pixiw run -e streamdiffusion bench-streamdiffusion --library .bench [--threads 1] [--rounds 5]

Each side lives in a process of its own; they take turns, so that a busy moment of the machine hits both. From bytes
of a picture to bytes of a painting. Printed are, for each size and number of steps, the median over the rounds of
frames per second and of processor time per frame, the time from a loaded library to the first painting, and the
peak of memory. The first painting is that of the first frame, so as many frames go in as there are steps: 0.1.1
answers before that, too, with what became of the zeros that its batch begins with.
Aim: at least as fast at every size. Without the other library, only ours is measured.

0.1.1 asks CUDA for the time even on a CPU; the two calls are replaced, nothing else of it is changed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

SIZES_PX = (64, 128, 256, 384, 512)
STEPS = {1: [20], 2: [20, 32], 3: [12, 20, 32], 4: [5, 12, 20, 32]}
PROMPT, SEED = "a watercolour", 2
ROUND_S = 1.0
"""Time of a round at least; a slow configuration paints its few frames."""
LEAST_FRAMES = 3
INSTALL = "python3 -m pip install --no-deps --target .bench streamdiffusion==0.1.1, and give --library .bench"

Paint = Callable[[Any], Any]


# One side, in its own process


def ours(size: int, steps: list[int]) -> Paint:
    from ai_runner_base import VideoFrame
    from ai_runner_streamdiffusion.models import load
    from ai_runner_streamdiffusion.painter import Painter
    from ai_runner_streamdiffusion.params import StreamDiffusionParams
    from ai_runner_streamdiffusion.pipeline import _choose

    params = StreamDiffusionParams(width=size, height=size, t_index_list=steps, prompt=PROMPT, seed=SEED)
    painter = Painter(load(_choose(params)), params)
    count = iter(range(10**9))

    def paint(picture: Any) -> Any:
        done = painter.paint(VideoFrame(picture, next(count), Fraction(1, 30)))
        return None if done is None else done.array

    return paint


def theirs(size: int, steps: list[int]) -> Paint:
    import torch
    from diffusers import (
        AutoencoderTiny,
        EulerDiscreteScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTokenizer

    from ai_runner_streamdiffusion.tiny import TINY_VAE_FOLDER, tiny_model
    from streamdiffusion import StreamDiffusion

    torch.cuda.Event, torch.cuda.synchronize = NoEvent, lambda: None
    folder = tiny_model()
    pipe = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(folder / TINY_VAE_FOLDER),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet"),
        scheduler=EulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    stream = StreamDiffusion(pipe, steps, torch_dtype=torch.float32, width=size, height=size, cfg_type="none")
    stream.prepare(PROMPT, guidance_scale=1.0, seed=SEED)

    def paint(picture: Any) -> Any:
        tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        painted = stream(tensor)[0].permute(1, 2, 0)
        return ((painted / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()

    return paint


class NoEvent:
    """In place of a CUDA event."""

    def __init__(self, **_: object) -> None: ...

    def record(self) -> None: ...

    def elapsed_time(self, _: NoEvent) -> float:
        return 0.0


SIDES = {"ours": ours, "0.1.1": theirs}


def serve_side(name: str, threads: int) -> None:
    """Answer each line of input, {size, steps}, with a round's figures."""
    import numpy as np
    import torch

    from ai_runner_streamdiffusion.quiet import hush

    torch.set_num_threads(threads)
    hush()
    rng, ready = np.random.default_rng(1), {}
    for line in sys.stdin:
        asked = json.loads(line)
        size, steps = asked["size"], asked["steps"]
        pictures = [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(4)]
        started_s, first_s = time.perf_counter(), None
        if (size, len(steps)) not in ready:
            ready.clear()
            ready[size, len(steps)] = paint = SIDES[name](size, steps)
            for _ in steps:
                paint(pictures[0])
            first_s = time.perf_counter() - started_s
        print(json.dumps(measure(ready[size, len(steps)], pictures) | {"first_s": first_s}), flush=True)


def measure(paint: Paint, pictures: list[Any]) -> dict[str, float]:
    frames, started_s, cpu_s = 0, time.perf_counter(), time.process_time()
    while frames < LEAST_FRAMES or time.perf_counter() - started_s < ROUND_S:
        paint(pictures[frames % len(pictures)])
        frames += 1
    seconds = time.perf_counter() - started_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    cpu_ms = 1000 * (time.process_time() - cpu_s) / frames
    return {"fps": frames / seconds, "cpu_ms": cpu_ms, "peak_mb": peak_mb}


# Both


class Side:
    """A process that measures when asked."""

    def __init__(self, name: str, options: argparse.Namespace, env: dict[str, str]) -> None:
        command = [sys.executable, "-P", __file__, "--side", name, "--threads", str(options.threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def measure(self, size: int, steps: list[int]) -> dict[str, float]:
        print(json.dumps({"size": size, "steps": steps}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("a side ended; its error is above")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate(timeout=10)


def has_library(env: dict[str, str]) -> bool:
    probe = "import importlib.util as u; raise SystemExit(u.find_spec('streamdiffusion') is None)"
    return subprocess.run([sys.executable, "-c", probe], env=env, check=False, cwd="/").returncode == 0


def report(size: int, count: int, rounds: dict[str, list[dict[str, float]]]) -> str:
    cells = []
    for figures in rounds.values():
        fps, cpu_ms = (statistics.median(row[key] for row in figures) for key in ("fps", "cpu_ms"))
        best = max(row["fps"] for row in figures)
        first_s, peak_mb = figures[0]["first_s"], figures[-1]["peak_mb"]
        cells.append(f"{fps:8.1f}{best:7.1f}{cpu_ms:8.1f}{first_s:7.2f}{peak_mb:7.0f} ")
    ratios = ""
    if len(rounds) == 2:
        pairs = zip(*rounds.values(), strict=True)
        ratios = f"{statistics.median(one['fps'] / other['fps'] for one, other in pairs):7.2f}"
    return f"{size:4} {count:5}  {'|'.join(cells)}{ratios}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", default="", help="folder that holds streamdiffusion 0.1.1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES_PX)
    parser.add_argument("--steps", type=int, nargs="*", default=list(STEPS))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve_side(options.side, options.threads)
        return
    with tempfile.TemporaryDirectory() as models:
        compare(options, models)


def compare(options: argparse.Namespace, models: str) -> None:
    path = [os.path.abspath(options.library)] if options.library else []  # noqa: PTH100  # only a word for PYTHONPATH
    env = {**os.environ, "MODEL_DIR": models, "PYTHONPATH": os.pathsep.join(path)}
    names = ["ours", "0.1.1"] if has_library(env) else ["ours"]
    if len(names) == 1:
        print(f"streamdiffusion 0.1.1 is not here, so only ours is measured. To compare: {INSTALL}")
    sides = {name: Side(name, options, env) for name in names}
    print(f"{options.threads} thread(s), {options.rounds} rounds; columns of each side: {', '.join(names)}")
    heads = "|".join(f"{'fps':>8}{'best':>7}{'cpu-ms':>8}{'first':>7}{'MB':>7} " for _ in names)
    print(f"size steps  {heads}{'x fps':>7}" if len(names) == 2 else f"size steps  {heads}")
    for size in options.sizes:
        for count in options.steps:
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name, side in sides.items():
                    rounds[name].append(side.measure(size, STEPS[count]))
            print(report(size, count, rounds), flush=True)
    for side in sides.values():
        side.close()


if __name__ == "__main__":
    main()
