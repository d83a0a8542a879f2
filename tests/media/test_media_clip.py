"""The test clip: readable by machines after coding, with sound on the beat, endless and paced."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests._support.media import SMALL, WAIT_S, decode_bytes, decode_file, to_rgb, ts_clip

from ai_runner_base.media import (
    AudioPacket,
    ClipOptions,
    ClipSource,
    MediaInfo,
    Picture,
    clip,
    list_video_encoders,
    read_counter,
    write_clip,
)
from ai_runner_base.media._clip_counter import WRAP

pytestmark = pytest.mark.media

SCENE = clip.Scene(320, 240)


def picture_of(number: int, scene: clip.Scene = SCENE) -> Picture:
    frame = scene.draw(number)
    return Picture(frame, 0, Fraction(1, 30), True, 0, 0)


@settings(deadline=None, max_examples=40)
@given(number=st.integers(0, WRAP - 1))
def test_any_number_is_read_back(number: int) -> None:
    assert read_counter(to_rgb(picture_of(number), 320, 240)) == number


def test_the_number_wraps() -> None:
    assert read_counter(to_rgb(picture_of(WRAP + 5), 320, 240)) == 5


def test_an_inverted_and_a_tinted_picture_are_read_too() -> None:
    rgb = to_rgb(picture_of(1234), 320, 240)
    assert read_counter(255 - rgb) == 1234
    tinted = (rgb * np.array([1.0, 0.6, 0.3])).astype(np.uint8)
    assert read_counter(tinted) == 1234


def test_what_is_no_clip_has_no_number() -> None:
    rng = np.random.default_rng(0)
    assert read_counter(np.zeros((240, 320, 3), np.uint8)) is None
    assert read_counter(np.zeros((2, 2, 3), np.uint8)) is None
    for _ in range(20):
        assert read_counter(rng.integers(0, 255, (64, 64, 3), np.uint8)) is None


def test_a_damaged_strip_is_not_trusted() -> None:
    rgb = to_rgb(picture_of(1234), 320, 240)
    rgb[150:, 150:170] = 128
    assert read_counter(rgb) is None


@pytest.mark.parametrize("source", [(1280, 720), (640, 480), (480, 640), (512, 512)])
@pytest.mark.parametrize("size", [(512, 512), (384, 384), (1024, 1024)])
def test_it_survives_low_bitrates_and_the_crop_to_a_square(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    options = ClipOptions(width=source[0], height=source[1], audio=None, crf=38, preset="ultrafast")
    got = decode_bytes(ts_clip(0.3, options))
    assert [read_counter(to_rgb(picture, *size)) for picture in got.pictures] == list(range(9))


def test_lamp_and_beep_share_their_seconds() -> None:
    flashes = [clip.read_mark(to_rgb(picture_of(number), 320, 240)) for number in range(60)]
    lit = [number for number, mark in enumerate(flashes) if mark and mark.flash]
    assert lit == [0, 1, 2, 30, 31, 32]
    assert clip.is_flash(2.05)
    assert not clip.is_flash(2.5)


def test_two_pictures_differ_everywhere_it_moves() -> None:
    first, second = to_rgb(picture_of(0), 320, 240), to_rgb(picture_of(15), 320, 240)
    assert (first != second).any(axis=2).mean() > 0.3


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_files_of_any_container(tmp_path: Path, container: str) -> None:
    path = tmp_path / f"clip.{container}"
    options = ClipOptions(width=320, height=240, audio="aac", first_frame=100, preset="ultrafast")
    assert write_clip(path, 1, options) == 30
    got = decode_file(path)
    assert [read_counter(to_rgb(p, 256, 256)) for p in got.pictures] == list(range(100, 130))
    assert got.audio


def test_other_frame_rates_and_starts() -> None:
    options = replace(SMALL, fps=Fraction(30_000, 1001), start_pts=90_000)
    got = decode_bytes(ts_clip(1, options))
    assert got.pts[:3] == [90_000, 93_003, 96_006]


def test_a_size_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="even sides"):
        clip.Scene(321, 240)


class Watcher:
    """A clip source and what it gave."""

    def __init__(self, **options: object) -> None:
        self.pictures: list[Picture] = []
        self.audio: list[AudioPacket] = []
        self.infos: list[MediaInfo] = []
        self.ended = threading.Event()
        self.source = ClipSource(
            320,
            240,
            30,
            on_video=self.pictures.append,
            on_audio=self.audio.append,
            on_info=self.infos.append,
            on_end=lambda _: self.ended.set(),
            **options,  # type: ignore[arg-type]  # the test's own keywords
        )
        self.source.start()


def test_the_source_gives_numbered_pictures_and_sound() -> None:
    watcher = Watcher(realtime=False, frames=45, start_pts=9000)
    assert watcher.ended.wait(WAIT_S)
    assert watcher.source.stop(WAIT_S)
    assert [read_counter(to_rgb(picture, 256, 256)) for picture in watcher.pictures] == list(range(45))
    assert [picture.pts for picture in watcher.pictures] == [9000 + 3000 * n for n in range(45)]
    assert watcher.source.counters.pictures == 45
    assert watcher.infos[0].audio is not None
    assert watcher.infos[0].audio.codec == "opus"
    last = watcher.audio[-1]
    assert abs(last.pts - watcher.pictures[-1].pts) < 90_000 * 0.06
    assert last.duration == 1800


def test_the_source_keeps_its_pace_and_stops_at_once() -> None:
    watcher = Watcher()
    deadline = time.monotonic() + WAIT_S
    while len(watcher.pictures) < 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert watcher.source.stop(WAIT_S)
    pictures = watcher.pictures
    assert len(pictures) >= 10
    # Never early: that would not be its pace. How late depends on the machine.
    spans = (pictures[9].received_ns - pictures[0].received_ns) / 1e9
    assert spans > 9 / 30 - 0.05
    assert not watcher.ended.is_set()
    count = len(watcher.pictures)
    time.sleep(0.1)
    assert len(watcher.pictures) == count


def test_encoders_are_really_opened() -> None:
    probes = list_video_encoders()
    assert len({probe.name for probe in probes}) == len(probes)
    software = [probe for probe in probes if probe.name in ("libx264", "libopenh264")]
    assert software
    assert all(probe.usable and not probe.hardware and not probe.reason for probe in software)
    for probe in probes:
        assert probe.usable == (not probe.reason)
    assert all(probe.hardware for probe in probes if probe.name.endswith("_nvenc"))
