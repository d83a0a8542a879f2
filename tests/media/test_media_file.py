"""`FileEncoder`: every frame, every PTS, audio kept; and words for what cannot be written."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests._support.media import WAIT_S, decode_file, grey, to_rgb

from ai_runner_base.errors import CallerError, RunnerError
from ai_runner_base.media import (
    ClipOptions,
    Decoder,
    FileEncoder,
    FileOptions,
    Fitter,
    MediaInfo,
    Picture,
    read_counter,
    write_clip,
)

pytestmark = pytest.mark.media

CLIP = ClipOptions(width=320, height=240, audio="aac", preset="ultrafast")
FAST = FileOptions(preset="ultrafast")


def through(source: Path, target: Path, options: FileOptions = FAST) -> tuple[list[Fraction], MediaInfo, int]:
    """Decode a file, encode it at 256x256: the PTS that went in, what the source said, audio packets."""
    fitter, pts, audio = Fitter(256, 256), [], []
    line: list[FileEncoder] = []
    ended = threading.Event()
    errors: list[RunnerError | None] = []

    def on_info(info: MediaInfo) -> None:
        if not line:
            line.append(FileEncoder(target, 256, 256, audio=info.audio, options=options))
            line[0].start()

    def on_video(picture: Picture) -> None:
        array = np.empty((256, 256, 3), np.uint8)
        fitter.into(picture, array)
        pts.append(picture.pts * picture.time_base)
        assert line[0].submit(array, picture.pts, picture.time_base)

    def on_audio(packet: Any) -> None:
        audio.append(packet)
        line[0].submit_audio(packet)

    def on_end(error: RunnerError | None) -> None:
        errors.append(error)
        ended.set()

    decoder = Decoder(source, on_video=on_video, on_audio=on_audio, on_info=on_info, on_end=on_end)
    decoder.start()
    assert ended.wait(WAIT_S)
    assert decoder.stop(WAIT_S)
    assert errors == [None]
    assert line[0].close(WAIT_S)
    assert line[0].error is None
    assert line[0].counters.frames == len(pts)
    assert decoder.info is not None
    return pts, decoder.info, len(audio)


def pts_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def audio_of(path: Path) -> tuple[str, int, float]:
    """Codec, number of packets, time of the first one in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        times = [float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None]
        return stream.codec_context.codec.canonical_name, len(times), times[0]


@pytest.mark.parametrize("ending", ["mp4", "mov", "ts"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_every_frame_with_its_exact_pts(tmp_path: Path, ending: str, bframes: int) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / f"out.{ending}"
    write_clip(source, 2, replace(CLIP, bframes=bframes))
    given, info, audio_count = through(source, target)
    assert pts_of(target) == given
    assert info.frame_count == len(given) == 60
    assert info.duration_s == pytest.approx(2.0, abs=0.1)
    counters = [read_counter(to_rgb(picture, 256, 256)) for picture in decode_file(target).pictures]
    assert counters == list(range(60))
    assert audio_of(target)[:2] == ("aac", audio_count)


@pytest.mark.parametrize("ending", ["mkv", "flv"])
def test_containers_that_count_milliseconds_round_to_them(tmp_path: Path, ending: str) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / f"out.{ending}"
    write_clip(source, 1, CLIP)
    given, _, audio_count = through(source, target)
    got = pts_of(target)
    shift = got[0] - given[0]  # FLV has no negative times and shifts both tracks alike
    assert 0 <= shift < Fraction(1, 40)
    assert max(abs(a - shift - b) for a, b in zip(got, given, strict=True)) <= Fraction(1, 1000)
    codec, count, first = audio_of(target)
    assert (codec, count) == ("aac", audio_count)
    assert abs(first - float(shift) + 0.0213) < 0.002


def test_frames_in_between_may_have_a_finer_time_base(tmp_path: Path) -> None:
    """As of a pipeline that doubles the frame rate: frames at their own times, and halves between them."""
    target = tmp_path / "out.mkv"
    encoder = FileEncoder(target, 64, 64, options=FAST)
    encoder.start()
    picture = np.zeros((64, 64, 3), np.uint8)
    coarse, fine = Fraction(1, 1000), Fraction(1, 22_000)
    times = [(0, coarse), (440, fine), (40, coarse), (1320, fine), (80, coarse), (1759, fine)]
    for pts, time_base in times:
        assert encoder.submit(picture, pts, time_base)
    assert encoder.close(20)
    assert [int(1000 * time) for time in pts_of(target)] == [0, 20, 40, 60, 80]
    assert encoder.counters.dropped_pts_order == 1


def test_variable_frame_rate_and_a_start_that_is_not_zero(tmp_path: Path) -> None:
    target = tmp_path / "vfr.mp4"
    stamps = [90_000, 93_000, 93_001, 100_000, 190_000, 190_500]
    encoder = FileEncoder(target, 64, 64, options=FAST)
    encoder.start()
    for index, at in enumerate(stamps):
        assert encoder.submit(grey(64, 64, index), at, Fraction(1, 90_000))
    assert encoder.close(WAIT_S)
    assert [pts * 90_000 for pts in pts_of(target)] == stamps


@pytest.mark.parametrize(
    ("audio", "ending", "codec"),
    [
        ("libopus", "mp4", "opus"),
        ("libopus", "mov", "aac"),
        ("libopus", "ts", "opus"),
        ("mp2", "mkv", "mp2"),
        ("aac", "ts", "aac"),
    ],
)
def test_audio_is_copied_where_it_fits_and_else_made_to_fit(
    tmp_path: Path, audio: Any, ending: str, codec: str
) -> None:
    source, target = tmp_path / "in.ts", tmp_path / f"out.{ending}"
    write_clip(source, 2, replace(CLIP, audio=audio, start_pts=90_000))
    _, _, count = through(source, target)
    name, got, first = audio_of(target)
    assert name == codec
    if codec == audio.removeprefix("lib"):
        assert got == count
    assert abs(first - audio_of(source)[2]) < 0.04


def test_audio_can_be_left_out(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, 1, CLIP)
    through(source, target, replace(FAST, keep_audio=False))
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_quality_is_a_setting(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    write_clip(source, 1, replace(CLIP, audio=None))
    sizes = []
    for crf in (15, 40):
        target = tmp_path / f"crf{crf}.mp4"
        through(source, target, replace(FAST, crf=crf))
        sizes.append(target.stat().st_size)
    assert sizes[0] > 2 * sizes[1]


def test_submit_waits_instead_of_dropping(tmp_path: Path) -> None:
    encoder = FileEncoder(tmp_path / "out.mp4", 640, 480, options=replace(FAST, queue_frames=1))
    encoder.start()
    released = []
    for index in range(50):
        assert encoder.submit(grey(640, 480, index), index, Fraction(1, 30), None, lambda: released.append(1))
    assert encoder.close(WAIT_S)
    assert len(released) == encoder.counters.frames == len(pts_of(tmp_path / "out.mp4")) == 50


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.webm", "cannot hold H.264"),
        ("missing/out.mp4", "No such file or directory"),
        ("out.nonsense", "out.nonsense"),
    ],
)
def test_a_target_that_cannot_be_written_says_why(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(CallerError) as caught:
        FileEncoder(tmp_path / name, 64, 64, options=FAST).start()
    assert words in caught.value.message


def test_a_full_disk_ends_with_its_reason() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    ends: list[RunnerError | None] = []
    options = replace(FAST, container="mpegts", crf=0)
    encoder = FileEncoder("/dev/full", 256, 256, options=options, on_end=ends.append)
    encoder.start()
    rng, taken, released = np.random.default_rng(0), True, []
    count = 0
    while taken and count < 300:
        noise = rng.integers(0, 255, (256, 256, 3), np.uint8)
        taken = encoder.submit(noise, count, Fraction(1, 30), None, lambda: released.append(1))
        count += 1
    assert not taken
    assert encoder.close(WAIT_S)
    assert "No space left" in str(encoder.error)
    assert ends == [encoder.error]
    assert len(released) == count


@pytest.mark.parametrize("name", ["no_video.mp4", "garbage.mp4", "empty.mp4", "missing.mp4", "cut.mp4"])
def test_files_that_cannot_be_read_say_why(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "no_video.mp4":
        write_sound_only(path)
    elif name == "garbage.mp4":
        path.write_bytes(b"PK\x03\x04 not a film" * 100)
    elif name == "empty.mp4":
        path.write_bytes(b"")
    elif name == "cut.mp4":
        write_clip(path, 1, CLIP)
        path.write_bytes(path.read_bytes()[:5000])
    error = decode_file(path).error
    assert isinstance(error, CallerError)
    expected = {
        "no_video.mp4": "no video track, only: audio aac",
        "garbage.mp4": "50 4b 03 04",
        "empty.mp4": "the file is empty",
        "missing.mp4": "No such file or directory",
        "cut.mp4": "Invalid data",
    }
    assert expected[name] in error.message


def write_sound_only(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48_000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
