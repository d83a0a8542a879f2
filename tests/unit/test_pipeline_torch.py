"""Frames and results with torch itself, on the CPU. Skipped where there is none: an environment with torch runs it."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai_runner_base import VideoFrame
from ai_runner_base.errors import PipelineError
from ai_runner_base.pipeline import arrays, gpu_check, to_uint8

torch = pytest.importorskip("torch")

from ai_runner_base.pipeline._lane_torch import TorchDriver  # noqa: E402  # imports torch
from ai_runner_base.pipeline._lanes import Lane, torch_lane  # noqa: E402

pytestmark = pytest.mark.unit

RANDOM = np.random.default_rng(10)
PICTURE = RANDOM.integers(0, 256, (48, 64, 3), np.uint8)
FLOATS = RANDOM.uniform(-0.5, 1.5, (48, 64, 3)).astype(np.float32)


def frame_of(data: object, **options: str) -> VideoFrame:
    return VideoFrame(data, 90, Fraction(1, 30), **options)


def written(data: object) -> np.ndarray:
    out = np.empty((48, 64, 3), np.uint8)
    to_uint8(data, out)
    return out


@pytest.mark.parametrize("writeable", [True, False])
def test_a_frame_as_a_tensor(writeable: bool) -> None:
    data = PICTURE.copy()
    data.flags.writeable = writeable
    frame = frame_of(data)
    assert (frame.tensor.shape, frame.tensor.dtype) == ((1, 48, 64, 3), torch.float32)
    assert frame.tensor.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert np.array_equal(frame.tensor[0].cpu().numpy(), PICTURE / np.float32(255))
    assert frame.tensor is frame.tensor


def test_floats_are_not_scaled_and_the_device_is_obeyed() -> None:
    tensor = frame_of(torch.full((48, 64, 3), 0.5, dtype=torch.float16), device="cpu").tensor
    assert (tensor.dtype, tensor.device.type, float(tensor.max())) == (torch.float32, "cpu", 0.5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_results_are_what_numpy_makes_of_the_same_values(dtype: str) -> None:
    values = torch.from_numpy(FLOATS).to(getattr(torch, dtype))
    values[0, 0] = torch.nan
    assert np.array_equal(written(values[None]), written(values.to(torch.float64).numpy()))


def test_results_with_gradients_and_strange_strides() -> None:
    planar = torch.rand(1, 3, 48, 64, requires_grad=True)
    assert np.array_equal(written(arrays.to_nhwc(planar)), written(arrays.to_nhwc(planar.detach().numpy())))
    every_second_row = torch.from_numpy(np.tile(PICTURE, (2, 1, 1)))[::2]
    assert np.array_equal(written(every_second_row), every_second_row.numpy())


def test_floats_up_to_255_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"such as 200.*divide by 255"):
        written(torch.full((48, 64, 3), 200.0, dtype=torch.bfloat16))


@pytest.mark.parametrize("size", [(128, 96), (40, 30), (65, 47)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_resizing_is_what_torch_does(size: tuple[int, int], dtype: str) -> None:
    picture = torch.from_numpy(PICTURE).to(getattr(torch, dtype))
    made = arrays.resize(picture, *size)
    wide = arrays.to_nchw(picture.to(torch.float64))
    exact = torch.nn.functional.interpolate(wide, size[::-1], mode="bilinear", align_corners=False)
    assert made.dtype == picture.dtype
    assert float((arrays.to_nhwc(exact)[0] - made.to(torch.float64)).abs().max()) < (
        0.51 if dtype == "uint8" else 1e-3
    )


def test_a_lane_of_the_cpu_runs_the_lines_of_a_gpus() -> None:
    lane = Lane(TorchDriver(torch.device("cpu")))
    for number in range(6):
        pixels = np.full_like(PICTURE, number * 40)
        tensor = lane.upload(pixels, arrays.as_float)
        pixels[:] = 7
        assert tensor.shape == (48, 64, 3)
        assert torch.equal(arrays.as_uint8(tensor), torch.full((48, 64, 3), number * 40, dtype=torch.uint8))
        out = np.empty_like(PICTURE)
        lane.download(arrays.as_uint8(tensor), out)
        assert set(out.flat) == {number * 40}


def test_a_lane_serves_inference_mode_and_its_absence_in_turn() -> None:
    """`transform` is decorated with it, as a rule, and what converts its result is not."""
    lane, out = Lane(TorchDriver(torch.device("cpu"))), np.empty_like(PICTURE)
    for number in range(6):
        with torch.inference_mode():
            tensor = lane.upload(np.full_like(PICTURE, number), arrays.as_float)
        lane.download(arrays.as_uint8(tensor), out)
        assert set(out.flat) == {number}


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs/gpu.md").read_text()
    (example,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "import torch" in text]
    names: dict[str, Any] = {}
    exec(compile(example, "docs/gpu.md", "exec"), names)  # noqa: S102  # our own documentation
    flat = written(names["Soften"]().transform(frame_of(np.full_like(PICTURE, 90)), None))
    assert set(flat[2:-2, 2:-2].flat) == {90}


def test_torch_is_checked_and_timed_by_gpu_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["--cpu", "--size", "64x48"]) == 0
    told = capsys.readouterr().out
    assert f"torch {torch.__version__} on the CPU" in told
    assert told.count("agrees with NumPy") == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_there_and_back_on_a_gpu() -> None:
    frame = frame_of(PICTURE)
    assert np.array_equal(written(frame.tensor), PICTURE)
    assert np.array_equal(written(frame.tensor.half()), PICTURE)
    assert torch_lane(frame.tensor.device) is torch_lane(frame.tensor.device)
