"""Which encoder live streams get: hardware where it opens, software else, and what is asked for by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.media import (
    CodecProbe,
    CodedFrame,
    _probe,
    encode_on,
    list_video_encoders,
    pick_live_encoder,
)
from ai_runner_base.media._video_encoder import VideoEncoder

pytestmark = pytest.mark.media

SOFTWARE = CodecProbe("libx264", hardware=False, usable=True)
NVENC = CodecProbe("h264_nvenc", hardware=True, usable=True)
NO_GPU = CodecProbe("h264_nvenc", hardware=True, usable=False, reason="Cannot load libcuda.so.1")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What a host offers; the hosts with a GPU are not at hand."""
    monkeypatch.setattr(_probe, "list_video_encoders", lambda known_only=False: list(request.param))


@pytest.mark.parametrize(
    ("host", "wanted", "chosen"),
    [
        ([SOFTWARE, NVENC], "auto", "h264_nvenc"),
        ([SOFTWARE, NVENC], "software", "libx264"),
        ([SOFTWARE, NVENC], "libx264", "libx264"),
        ([SOFTWARE, NO_GPU], "auto", "libx264"),
    ],
    indirect=["host"],
)
def test_choice(host: None, wanted: str, chosen: str) -> None:
    assert pick_live_encoder(wanted) == chosen


@pytest.mark.parametrize("host", [[SOFTWARE, NO_GPU]], indirect=True)
def test_what_does_not_open_is_the_hosts_fault_and_what_does_not_exist_the_callers(host: None) -> None:
    with pytest.raises(HostError, match="Cannot load libcuda"):
        pick_live_encoder("h264_nvenc")
    with pytest.raises(CallerError, match="it has libx264, h264_nvenc"):
        pick_live_encoder("h265")


@pytest.mark.parametrize("host", [[NO_GPU]], indirect=True)
def test_a_host_without_any_says_why(host: None) -> None:
    with pytest.raises(HostError, match=r"no H\.264 encoder opens"):
        pick_live_encoder()


def test_this_host_has_one() -> None:
    assert pick_live_encoder() in {probe.name for probe in list_video_encoders() if probe.usable}


def test_what_we_cannot_drive_without_delay_is_only_tried_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_probe, "H264_ENCODERS", ("libopenh264",))
    assert all(probe.name == "libopenh264" for probe in list_video_encoders(known_only=True))
    assert "libx264" in {probe.name for probe in list_video_encoders()}


@pytest.mark.parametrize(
    ("lose", "ignore_keys", "reason"),
    [
        (False, False, ""),
        (True, False, "it opens, but gives 3 frames for 4"),
        (False, True, "it opens, but makes key frames of [0], asked for [0, 3]"),
    ],
)
def test_hardware_that_opens_must_also_encode(
    monkeypatch: pytest.MonkeyPatch, lose: bool, ignore_keys: bool, reason: str
) -> None:
    """Software plays the chip."""
    name, encode = pick_live_encoder("software"), VideoEncoder.encode

    def played(
        self: VideoEncoder, frame: av.VideoFrame | None, pts: int = 0, *, key_frame: bool = False
    ) -> Iterator[CodedFrame]:
        key = key_frame and not (ignore_keys and pts > 0)
        return iter(
            [unit for unit in encode(self, frame, pts, key_frame=key) if not (lose and unit.pts == 3000)]
        )

    monkeypatch.setattr(VideoEncoder, "encode", played)
    assert encode_on.why_not(name) == reason


def test_hardware_is_tried_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Software plays the chip; then a driver kills whoever asks it."""
    name = pick_live_encoder("software")
    monkeypatch.setattr(_probe, "HARDWARE_NODES", {name: ()})
    assert CodecProbe(name, hardware=True, usable=True) in list_video_encoders()
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    killed = CodecProbe(name, hardware=True, usable=False, reason="its driver crashed (SIGSEGV)")
    assert killed in list_video_encoders()
