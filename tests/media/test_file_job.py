"""`ai-runner run`: every frame in order, same count, same PTS, audio kept; clear errors and no half-written file."""

from __future__ import annotations

import subprocess
import sys
import threading
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest

from ai_runner_base.media import ClipOptions, read_counter, write_clip

pytestmark = pytest.mark.media


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ai_runner_base", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def pictures(path: Path) -> list[tuple[Fraction, int | None]]:
    with av.open(str(path)) as container:
        frames = container.decode(container.streams.video[0])
        return [(f.pts * f.time_base, read_counter(f.to_ndarray(format="rgb24"))) for f in frames]


def audio(path: Path) -> tuple[str, list[Fraction]]:
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        times = [p.pts * p.time_base for p in container.demux(track) if p.pts is not None]
        return track.codec_context.name, times


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.ts"])
def test_same_frames_same_times_and_audio(tmp_path: Path, name: str) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / name
    count = write_clip(clip, 3, ClipOptions(width=640, height=360, audio="aac", bframes=2))
    done = run("--pipeline", "noop", "-i", clip, "-o", out)
    assert done.returncode == 0, done.stderr
    assert f"{count} frames of 640x360" in done.stdout
    before, after = pictures(clip), pictures(out)
    assert [number for _, number in after] == [number for _, number in before] == list(range(count))
    shift = (
        after[0][0] - before[0][0] if name.endswith(".ts") else 0
    )  # FFmpeg starts MPEG-TS at a delay of its own
    assert all(abs(b - a - shift) <= Fraction(1, 1000) for (a, _), (b, _) in zip(before, after, strict=True))
    codec, times = audio(out)
    assert codec.startswith("aac")
    assert len(times) == len(audio(clip)[1])


def test_a_silent_clip_stays_silent_and_params_reach_the_pipeline(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    write_clip(clip, 1, ClipOptions(width=640, height=360, audio=None))
    done = run(
        "--pipeline",
        "effects",
        "-i",
        clip,
        "-o",
        out,
        "-p",
        "effect=cartoon",
        "-p",
        "width=320",
        "-p",
        "height=320",
    )
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (320, 320)
        assert not container.streams.audio


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-i", "missing.mp4", "-o", "out.mp4"), "there is no input file missing.mp4"),
        (("-i", "text.mp4", "-o", "out.mp4"), "text.mp4"),
        (("-i", "clip.mp4", "-o", "out.xyz"), "out.xyz"),
        (("-i", "clip.mp4", "-o", "clip.mp4"), "same file"),
        (("-i", "clip.mp4", "-o", "out.mp4", "-p", "width=7"), "width"),
        (("-i", "clip.mp4", "-o", "out.mp4", "-p", "colour"), "name=value"),
        (("-i", "clip.mp4", "-o", "nowhere/out.mp4"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", 0.5, ClipOptions(width=128, height=128))
    (tmp_path / "text.mp4").write_text("no film at all\n" * 100)
    before = sorted(tmp_path.iterdir())
    done = run("--pipeline", "noop", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_url_that_ffmpeg_opens_is_an_input_too(tmp_path: Path) -> None:
    count = write_clip(tmp_path / "clip.ts", 1, ClipOptions(width=128, height=128))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/clip.ts"
            done = run("--pipeline", "noop", "-i", url, "-o", tmp_path / "out.mp4")
        finally:
            server.shutdown()
            thread.join(5)
    assert done.returncode == 0, done.stderr
    assert len(pictures(tmp_path / "out.mp4")) == count
