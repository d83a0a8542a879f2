"""Pictures on their way to a device: nothing is overwritten before it was read, however early or late the device is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests._support.fake_arrays import FakeCupy

from ai_runner_base import VideoFrame
from ai_runner_base.errors import HostError
from ai_runner_base.pipeline import _lanes, _tensor, to_uint8
from ai_runner_base.pipeline._lanes import Lane, Place

pytestmark = pytest.mark.unit

PICTURE = np.random.default_rng(9).integers(0, 256, (6, 8, 3), np.uint8)


class _Once:
    """Work that is done when it is first asked for."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work, self._done = work, False

    def __call__(self) -> None:
        if not self._done:
            self._done = True
            self._work()


class _Memory:
    """Once it is let go of, somebody else writes into it."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __del__(self) -> None:
        self._values.fill(99)


class SlowDevice:
    """A device that does nothing before somebody waits for it, but copies as early (or as late) as it may.

    :param eager: copies run as soon as `consumed` allows; else when they are waited for
    """

    def __init__(self, *, eager: bool) -> None:
        self.eager, self.made = eager, 0
        self.kernels: list[Callable[[], None]] = []
        self.done = 0

    def place(self, size_bytes: int) -> Place:
        self.made += 1
        host, device = np.zeros(size_bytes, np.uint8), np.zeros(size_bytes, np.uint8)
        return Place(host, device, copied=[], consumed=[len(self.kernels)], keeps=_Memory(device))

    def copy_in(self, place: Place, size_bytes: int) -> None:
        after, host, device = place.consumed[0], place.host[:size_bytes], place.device[:size_bytes]
        copy = _Once(lambda: (self.run(after), np.copyto(device, host)))
        place.copied[:] = [copy]
        if self.eager:
            copy()
        else:
            self.kernels.append(copy)

    def copy_out(self, pixels: Any, place: Place) -> None:
        until, host = len(self.kernels), place.host[: pixels.size]
        place.copied[:] = [_Once(lambda: (self.run(until), np.copyto(host, pixels.ravel())))]

    def consume(self, place: Place) -> None:
        place.consumed[0] = len(self.kernels)

    def wait(self, place: Place) -> None:
        for copy in list(place.copied):
            copy()

    def finish(self, place: Place) -> None:
        self.run(place.consumed[0])

    def run(self, until: int) -> None:
        while self.done < until:
            self.done += 1
            self.kernels[self.done - 1]()


@pytest.mark.parametrize("eager", [True, False], ids=["early", "late"])
@pytest.mark.parametrize("growth", [0, 2], ids=["of one size", "larger and larger"])
def test_pictures_that_are_uploaded_ahead_of_the_device_stay_apart(eager: bool, growth: int) -> None:
    device = SlowDevice(eager=eager)
    lane, results = Lane(device), [np.empty((6 + growth * number, 8, 3), np.uint8) for number in range(12)]

    def reading_into(result: np.ndarray) -> Callable[[Any], Any]:
        def use(pixels: Any) -> Any:
            device.kernels.append(lambda: np.copyto(result, pixels))
            return result

        return use

    for number, result in enumerate(results):
        pixels = np.full_like(result, number)
        assert lane.upload(pixels, reading_into(result)) is result
    device.run(len(device.kernels))
    assert [set(result.flat) for result in results] == [{number} for number in range(12)]
    assert device.made == (12 if growth else 3)


def test_a_download_is_there_when_it_returns() -> None:
    device, out = SlowDevice(eager=False), np.empty_like(PICTURE)
    Lane(device).download(PICTURE, out)
    assert np.array_equal(out, PICTURE)


def test_a_larger_picture_gets_larger_places() -> None:
    device, larger = SlowDevice(eager=True), np.tile(PICTURE, (3, 2, 1))
    lane = Lane(device)
    for picture in (PICTURE,) * 4 + (larger,) * 4 + (PICTURE,):
        assert np.array_equal(lane.upload(picture, np.array), picture)
    assert device.made == 6


def test_places_are_made_once_however_many_are_in_use_at_a_time() -> None:
    device, out = SlowDevice(eager=True), np.empty_like(PICTURE)
    lane = Lane(device)

    def up_and_down(pixels: Any, depth: int = 0) -> Any:
        if depth < 4:
            return lane.upload(pixels, lambda deeper: up_and_down(deeper, depth + 1))
        lane.download(pixels, out)
        return pixels

    for number in range(6):
        up_and_down(np.full_like(PICTURE, number))
        assert set(out.flat) == {number}
    assert device.made == 5


def test_an_error_of_the_reader_costs_no_place() -> None:
    device = SlowDevice(eager=True)
    lane = Lane(device)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            lane.upload(PICTURE, lambda pixels: 1 // 0)
    assert np.array_equal(lane.upload(PICTURE, np.array), PICTURE)
    assert device.made == 3


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCupy]:
    module = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    caches = (_tensor._cupy, _lanes.cupy_lane)
    for cache in caches:
        cache.cache_clear()
    sys.modules.pop("ai_runner_base.pipeline._lane_cupy", None)
    yield module
    for cache in caches:
        cache.cache_clear()
    sys.modules.pop("ai_runner_base.pipeline._lane_cupy", None)


def frame_of(data: Any, **options: Any) -> VideoFrame:
    return VideoFrame(data, 90, Fraction(1, 30), **options)


def test_cupy_gets_bytes_on_the_copy_stream_and_makes_floats_of_them(cupy: FakeCupy) -> None:
    frame = frame_of(PICTURE)
    picture = frame.cupy
    assert cupy.log == [
        "copy waits for current",
        "144 uint8 up on copy",
        "current waits for copy",
        "uint8 to float32",
    ]
    assert picture.shape == (1, 6, 8, 3)
    assert np.array_equal(picture.values[0], PICTURE / np.float32(255))
    assert frame.cupy is picture


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("rank", [3, 4])
def test_cupy_results_become_bytes_before_they_are_copied(cupy: FakeCupy, dtype: str, rank: int) -> None:
    values = np.random.default_rng(2).uniform(-0.5, 1.5, (16, 24, 3)).astype(dtype)
    values[0, 0] = np.nan
    expected, out = np.empty((2, 16, 24, 3), np.uint8)
    to_uint8(values, expected)
    to_uint8(cupy.ndarray(values if rank == 3 else values[None]), out)
    to_bytes = f"{'float64' if dtype == 'float64' else 'float32'} to uint8"
    assert cupy.log[-4:] == [to_bytes, *DOWN, "host reads a number"]
    assert np.array_equal(out, expected)


DOWN = ["1152 uint8 down on current", "host waits for current"]


def test_cupy_bytes_are_only_copied(cupy: FakeCupy) -> None:
    picture, out = np.tile(PICTURE, (2, 4, 1)), np.empty((12, 32, 3), np.uint8)
    to_uint8(cupy.ndarray(picture), out)
    assert cupy.log == DOWN
    assert np.array_equal(out, picture)


def test_cupy_floats_come_in_unscaled_and_by_dlpack(cupy: FakeCupy) -> None:
    floats = np.full((6, 8, 3), 0.5, np.float16)
    assert frame_of(floats).cupy.values.max() == np.float32(0.5)
    assert frame_of(memoryview_of(floats)).cupy.values.max() == np.float32(0.5)


def memoryview_of(values: np.ndarray) -> Any:
    """An array of a library that speaks DLPack and nothing else."""
    members = {
        "shape": values.shape,
        "dtype": values.dtype,
        "__dlpack__": lambda self, **options: values.__dlpack__(**options),
        "__dlpack_device__": lambda self: values.__dlpack_device__(),
    }
    return type("Other", (), members)()


def test_cupy_is_of_cuda_devices_only(cupy: FakeCupy) -> None:
    with pytest.raises(HostError, match="on a CUDA device, not on 'cpu'"):
        _ = frame_of(PICTURE, device="cpu").cupy
    assert frame_of(PICTURE, device="cuda:0").cupy.shape == (1, 6, 8, 3)


def test_the_example_of_the_page_runs(cupy: FakeCupy) -> None:
    page = (Path(__file__).parents[2] / "docs/gpu.md").read_text()
    (example,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "import cupy" in text]
    names: dict[str, Any] = {}
    exec(compile(example, "docs/gpu.md", "exec"), names)  # noqa: S102  # our own documentation
    trails = names["Trails"]()
    trails.setup(SimpleNamespace(width=8, height=6))
    for value, expected in ((200, 200), (0, 180)):
        out = np.empty_like(PICTURE)
        to_uint8(trails.transform(frame_of(np.full_like(PICTURE, value)), None), out)
        assert set(out.flat) == {expected}


def test_without_cupy_the_package_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    _tensor._cupy.cache_clear()
    with pytest.raises(HostError, match=r"needs CuPy.*add ai-runner-cuda"):
        _ = frame_of(PICTURE).cupy
