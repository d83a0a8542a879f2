"""Frames keep upstream's names, and what its pipelines rely on."""

import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from ai_runner_base import VideoFrame as NativeFrame
from ai_runner_base.pipeline import VideoOutput as NativeOutput
from runner.live.trickle import DEFAULT_HEIGHT, DEFAULT_WIDTH, AudioFrame, InputFrame, VideoFrame, VideoOutput

PICTURE = np.full((1, 64, 64, 3), 0.5, np.float32)


def frame() -> VideoFrame:
    return VideoFrame(PICTURE, 90, Fraction(1, 30))


def test_a_frame_gives_back_the_very_tensor_it_was_made_of():
    made = frame()
    assert made.tensor is PICTURE
    assert (made.timestamp, made.pts, made.time_base) == (90, 90, Fraction(1, 30))
    assert (DEFAULT_WIDTH, DEFAULT_HEIGHT) == (512, 512)


def test_a_replacement_shares_time_notes_and_log_times():
    made = frame()
    made.log_timestamps["a"] = 1.0
    made.side_data.skipped = False
    other = made.replace_tensor(PICTURE * 0)
    assert other.log_timestamps is made.log_timestamps
    assert other.side_data is made.side_data
    assert (other.timestamp, other.time_base) == (90, Fraction(1, 30))
    assert other.replace(PICTURE).tensor is PICTURE


def test_two_frames_share_nothing():
    one, two = frame(), frame()
    one.log_timestamps["a"] = 1.0
    one.side_data.skipped = False
    assert two.log_timestamps == {}
    assert two.side_data.skipped is True
    assert two.side_data.input is None


def test_a_frame_without_a_picture_can_be_made_for_a_warm_up():
    empty = VideoFrame(None, 0, 0)
    assert empty.tensor is None
    assert repr(empty) == "VideoFrame(NoneType, timestamp=0, time_base=0)"
    empty.tensor = PICTURE
    assert empty.array[0, 0].tolist() == [128, 128, 128]


def test_what_the_runner_gives_is_translated_once_and_not_copied():
    pixels = np.zeros((64, 64, 3), np.uint8)
    made = VideoFrame.from_native(NativeFrame(pixels, 7, Fraction(1, 90_000), device="cpu"))
    assert made.data is pixels
    assert made.device == "cpu"
    assert VideoFrame.from_native(made) is made


def test_a_tensor_once_made_is_what_goes_out(monkeypatch):
    """What a pipeline draws into it must be seen."""
    tensor = np.zeros((1, 64, 64, 3), np.float32)
    monkeypatch.setattr("ai_runner_base.pipeline._tensor.to_tensor", lambda data, device: tensor)
    made = VideoFrame.from_native(NativeFrame(np.full((64, 64, 3), 9, np.uint8), 7, Fraction(1, 30)))
    assert made.array[0, 0, 0] == 9
    made.tensor[:] = 1
    assert made.tensor is tensor
    assert made.array[0, 0, 0] == 255


def test_an_output_is_what_the_worker_takes_and_can_be_changed():
    output = VideoOutput(frame(), "stream")
    assert isinstance(output, NativeOutput)
    assert output.tensor is PICTURE
    assert (output.timestamp, output.time_base, output.log_timestamps) == (90, Fraction(1, 30), {})
    assert output.is_loading_frame is False
    output.request_id = "other"
    replaced = output.replace_tensor(PICTURE * 0)
    assert (replaced.request_id, replaced.tensor.max()) == ("other", 0)
    assert VideoOutput(output.frame) != VideoOutput(output.frame)
    assert len({output, replaced}) == 2


def test_sound_is_read_from_pyav():
    av_frame = SimpleNamespace(
        pts=5,
        time_base=Fraction(1, 48_000),
        samples=960,
        sample_rate=48_000,
        format=SimpleNamespace(name="fltp"),
        layout=SimpleNamespace(name="mono"),
        to_ndarray=lambda: np.zeros((1, 960), np.float32),
    )
    sound = InputFrame.from_av_audio(av_frame)
    assert isinstance(sound, AudioFrame)
    assert (sound.timestamp, sound.rate, sound.nb_samples, sound.layout) == (5, 48_000, 960, "mono")
    av_frame.pts = None
    with pytest.raises(ValueError, match="no timestamp"):
        AudioFrame(av_frame)


def test_torch_is_not_imported_by_any_of_this():
    assert "torch" not in sys.modules
