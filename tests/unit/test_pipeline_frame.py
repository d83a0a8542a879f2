"""Frames: views instead of copies, tensors on demand, nothing shared by accident."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from tests._support.fake_arrays import DeviceArray

from ai_runner_base import VideoFrame, VideoOutput
from ai_runner_base.errors import HostError, PipelineError
from ai_runner_base.pipeline import _tensor

pytestmark = pytest.mark.unit

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def frame_of(data, **options):
    return VideoFrame(data, 90, Fraction(1, 30), **options)


def test_array_is_a_view():
    """No copy: what is drawn into the array is in the data, in either rank."""
    for data in (PICTURE.copy(), PICTURE[None].copy()):
        frame = frame_of(data)
        assert frame.array.shape == (6, 8, 3)
        assert np.shares_memory(frame.array, data)
        assert frame.array is frame.array


def test_array_of_other_data_is_converted_once():
    """Floats give uint8, and the same object each time."""
    for data in (PICTURE / 255, (PICTURE[None] / 255).astype(np.float16)):
        frame = frame_of(data)
        assert np.array_equal(frame.array, PICTURE)
        assert frame.array is frame.array


def test_size_and_time():
    """Size comes from the data, seconds from pts and time base."""
    frame = frame_of(PICTURE)
    assert (frame.width, frame.height, frame.time_s) == (8, 6, 3.0)
    assert repr(frame) == "VideoFrame(8x6, pts=90, time_base=1/30)"


def test_replace_keeps_time_notes_and_class():
    """The result of a pipeline belongs to the frame that it was made from."""

    class Noted(VideoFrame):
        pass

    frame = Noted(PICTURE, 90, Fraction(1, 30), side_data={"skipped": True}, device="cpu")
    other = frame.replace(PICTURE / 255)
    assert type(other) is Noted
    assert (other.pts, other.time_base, other.device) == (90, Fraction(1, 30), "cpu")
    assert other.side_data is frame.side_data


def test_side_data_is_never_shared_between_frames():
    """A note on one frame is not on the next."""
    first, second = frame_of(PICTURE), frame_of(PICTURE)
    first.side_data["skipped"] = True
    assert second.side_data == {}


def test_dlpack_gives_the_data_itself():
    """Any DLPack library sees the same memory."""
    data = PICTURE.copy()
    seen = np.from_dlpack(frame_of(data))
    assert np.shares_memory(seen, data)
    assert frame_of(DeviceArray(PICTURE)).__dlpack_device__() == (2, 0)


def test_tensor_without_torch_says_what_to_do(monkeypatch):
    """The missing package is named, and where to declare it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    _tensor._torch.cache_clear()
    with pytest.raises(HostError, match=r"needs torch.*add pytorch to the recipe"):
        _ = frame_of(PICTURE).tensor


def test_not_a_picture():
    """A frame of something else says so when it is looked at."""
    with pytest.raises(PipelineError, match=r"got \(6, 8\)"):
        _ = frame_of(PICTURE[..., 0]).array


def test_output_defaults():
    """A plain output is a result of no particular stream."""
    output = VideoOutput(frame_of(PICTURE))
    assert (output.request_id, output.is_loading_frame) == ("", False)


def test_the_door_imports_no_device_library():
    """`ai_runner_base.pipeline` brings neither torch nor CuPy, and not the runner's libraries either."""
    heavy = "{'torch', 'cupy', 'av', 'aiohttp'}"
    code = f"import ai_runner_base.pipeline, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
