"""The check of a device finds one that computes wrongly, and says where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ai_runner_base.pipeline import gpu_check

pytestmark = pytest.mark.unit


def numpy_on_the_cpu() -> gpu_check.Device:
    return next(gpu_check.devices(cpu=True))


def test_the_cpu_agrees_and_every_stage_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["--cpu", "--size", "64x48"]) == 0
    told = capsys.readouterr().out
    assert "NumPy" in told
    assert "agrees with NumPy" in told
    for stage in (
        "up, ordinary memory",
        "to float",
        "resize to",
        "to uint8",
        "down",
        "frame to floats and back",
    ):
        assert stage in told


def test_without_a_device_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "devices", lambda cpu: iter(()))
    assert gpu_check.main([]) == 5
    assert "neither torch nor CuPy has a CUDA device here" in capsys.readouterr().err


def test_a_device_that_computes_wrongly_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = numpy_on_the_cpu()
    dark = replace(good, floats=lambda frame: good.floats(frame) * np.float32(0.9))

    def found(cpu: bool) -> Iterator[gpu_check.Device]:
        yield dark
        yield good

    assert gpu_check.differences(good) == []
    assert gpu_check.differences(dark) == ["a frame there and back", "resizing", "clamping and rounding"]
    monkeypatch.setattr(gpu_check, "devices", found)
    assert gpu_check.main(["--size", "64x48"]) == 3
    assert "differs from NumPy: a frame there and back" in capsys.readouterr().out
