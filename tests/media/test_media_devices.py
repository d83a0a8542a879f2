"""Decoding on a device: which one is chosen, and what happens when it fails. No GPU is at hand: software plays one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.media import (
    BytePipe,
    ClipOptions,
    CodecProbe,
    Decoder,
    DecoderOptions,
    Fitter,
    Picture,
    _device_codec,
    _devices,
    _kept,
    _trial,
    _ts_reader,
    decode_on,
    encode_ts_clip,
    pick_live_decoder,
    read_counter,
)
from ai_runner_base.media._types import DecoderCounters
from ai_runner_base.media._video import SOFTWARE, DecodePolicy, VideoDecoder, open_live_codec

pytestmark = pytest.mark.media

SIZE = (320, 240)
FPS = 30


class PlayedDevice:
    """Decodes in software and gives its pictures as a device's are downloaded.

    :param fault: raised, instead of pictures, from the given packet on; a function may replace the pictures
    """

    is_hwaccel = True

    def __init__(self, name: str, fault: Exception | None = None, at: int = 10**9) -> None:
        self.name = name
        self._codec = open_live_codec(name)
        self._fault, self._at, self._count = fault, at, 0

    def decode(self, packet: Any = None) -> list[av.VideoFrame]:
        self._count += 1
        if self._count >= self._at:
            if self._fault is not None:
                raise self._fault
            return []
        return [self._downloaded(frame) for frame in self._codec.decode(packet)]

    def flush_buffers(self) -> None:
        self._codec.flush_buffers()

    @staticmethod
    def _downloaded(frame: av.VideoFrame) -> av.VideoFrame:
        copy = frame.reformat(format="nv12")
        copy.pts, copy.time_base = frame.pts, frame.time_base
        return copy


def external() -> av.FFmpegError:
    return av.error.ExternalError(1, "the driver is gone")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Any]], None]:
    """Put something in the place of the decoder on ``cuda``."""

    def replace(make: Callable[[str], Any]) -> None:
        def open_codec(name: str, device: str = SOFTWARE) -> Any:
            return open_live_codec(name) if device == SOFTWARE else make(name)

        monkeypatch.setattr(_ts_reader, "open_live_codec", open_codec)

    return replace


def decode(data: bytes) -> tuple[Decoder, list[Picture], list[str]]:
    """Decode to the end, on ``cuda``; with each picture who decoded the one before it."""
    pictures: list[Picture] = []
    by: list[str] = []
    ended, pipe = threading.Event(), BytePipe()

    def take(picture: Picture) -> None:
        pictures.append(picture)
        by.append(decoder.decoded_by)

    decoder = Decoder(
        pipe, on_video=take, on_end=lambda _: ended.set(), options=DecoderOptions(device="cuda")
    )
    decoder.start()
    pipe.write(data)
    pipe.close()
    assert ended.wait(30)
    assert decoder.stop(5)
    return decoder, pictures, by


def numbers(pictures: list[Picture]) -> list[int | None]:
    fitter, out = Fitter(*SIZE), np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    found = []
    for picture in pictures:
        fitter.into(picture, out)
        found.append(read_counter(out))
    return found


@pytest.fixture(scope="module")
def clip() -> bytes:
    return encode_ts_clip(4, ClipOptions(*SIZE, fps=FPS, audio=None, key_frame_interval_s=2))


def test_pictures_of_a_device_are_converted_like_all_others(device: Any, clip: bytes) -> None:
    device(PlayedDevice)
    decoder, pictures, by = decode(clip)
    assert numbers(pictures) == list(range(4 * FPS))
    assert {picture.frame.format.name for picture in pictures} == {"nv12"}
    assert (by[0], decoder.decoded_by) == ("", "cuda")
    assert decoder.counters.device_failures == 0


@pytest.mark.parametrize(("pixel_format", "rounding"), [("nv12", 0), ("p010le", 1.5)])
@pytest.mark.parametrize("size", [SIZE, (128, 128), (640, 480)])
def test_whatever_the_size_and_depth(
    clip: bytes, size: tuple[int, int], pixel_format: str, rounding: float
) -> None:
    _, pictures, _ = decode(clip)
    planes = pictures[FPS].frame
    packed = planes.reformat(format=pixel_format)
    expected, found = (np.empty((size[1], size[0], 3), np.uint8) for _ in range(2))
    Fitter(*size).into(planes, expected)
    Fitter(*size).into(packed, found)
    assert np.abs(expected.astype(int) - found).mean() <= rounding


class HungDevice(PlayedDevice):
    """Does not come back from the given packet, or from a flush, as long as the test runs."""

    def __init__(self, name: str, hangs: threading.Event, *, in_flush: bool) -> None:
        super().__init__(name)
        self._hangs, self._in_flush = hangs, in_flush

    def decode(self, packet: Any = None) -> list[av.VideoFrame]:
        frames = super().decode(packet)
        if self._count == 50 and not self._in_flush:
            self._hangs.wait(30)
        return frames

    def flush_buffers(self) -> None:
        self._hangs.wait(30)


def test_a_device_whose_driver_hangs_costs_not_one_picture(
    device: Any, clip: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_device_codec, "STALL_LIMIT_S", 0.3)
    hangs = threading.Event()
    device(lambda name: HungDevice(name, hangs, in_flush=False))
    decoder, pictures, _ = decode(clip)
    hangs.set()
    assert numbers(pictures) == list(range(4 * FPS))
    assert (decoder.decoded_by, decoder.counters.device_failures) == (SOFTWARE, 1)
    assert "no answer within 0.3 s, its driver hangs" in caplog.text


def test_a_driver_that_hangs_after_a_skip_is_left_too(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_device_codec, "STALL_LIMIT_S", 0.3)
    hangs, counters = threading.Event(), DecoderCounters()
    decoder = VideoDecoder(
        lambda: open_live_codec("h264"),
        Fraction(1, 90_000),
        counters,
        DecodePolicy(),
        lambda: cast(Any, HungDevice("h264", hangs, in_flush=True)),
    )
    decoder.restart()
    hangs.set()
    assert counters.device_failures == 1


def test_a_device_that_fails_in_the_middle_costs_not_one_picture(device: Any, clip: bytes) -> None:
    device(lambda name: PlayedDevice(name, external(), at=50))
    decoder, pictures, by = decode(clip)
    assert numbers(pictures) == list(range(4 * FPS))
    assert by[49] == "cuda"
    assert decoder.decoded_by == SOFTWARE
    assert (decoder.counters.device_failures, decoder.counters.invalid_packets) == (1, 0)


def test_a_device_that_falls_silent_costs_not_one_picture(device: Any, clip: bytes) -> None:
    device(lambda name: PlayedDevice(name, at=20))
    decoder, pictures, _ = decode(clip)
    assert numbers(pictures) == list(range(4 * FPS))
    assert decoder.counters.device_failures == 1


def test_a_device_that_fails_at_the_very_end_still_costs_nothing(device: Any) -> None:
    """With B-frames it holds pictures back until it is asked for the rest."""
    data = encode_ts_clip(1, ClipOptions(*SIZE, fps=FPS, audio=None, bframes=2))
    device(lambda name: PlayedDevice(name, external(), at=FPS + 1))
    decoder, pictures, _ = decode(data)
    assert numbers(pictures) == list(range(FPS))
    assert decoder.counters.device_failures == 1


@pytest.mark.parametrize("error", [external(), NotImplementedError("no such codec on it")])
def test_a_device_that_does_not_open_is_done_without(device: Any, clip: bytes, error: Exception) -> None:
    def refuse(_: str) -> Any:
        raise error

    device(refuse)
    decoder, pictures, _ = decode(clip)
    assert numbers(pictures) == list(range(4 * FPS))
    assert (decoder.decoded_by, decoder.counters.device_failures) == (SOFTWARE, 1)


def test_bad_data_is_not_the_devices_fault_until_there_is_too_much_of_it(device: Any, clip: bytes) -> None:
    bad = av.error.InvalidDataError(1, "no frame!")
    device(lambda name: PlayedDevice(name, bad, at=10))
    decoder, pictures, _ = decode(clip)
    assert decoder.counters.invalid_packets == 11  # ten are forgiven
    assert decoder.counters.device_failures == 1
    assert numbers(pictures) == list(range(4 * FPS))


def test_a_group_of_pictures_that_is_too_long_to_keep_costs_the_rest_of_it(
    device: Any, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kept, "LIMIT_BYTES", 5_000)
    device(lambda name: PlayedDevice(name, external(), at=50))
    decoder, pictures, _ = decode(clip)
    assert numbers(pictures) == [*range(49), *range(2 * FPS, 4 * FPS)]
    assert decoder.counters.skipped_before_key_frame == 2 * FPS - 50


# --- probing ----------------------------------------------------------------------------------------------------------

GPU = CodecProbe("cuda", hardware=True, usable=True)
NO_GPU = CodecProbe("cuda", hardware=True, usable=False, reason="Cannot load libcuda.so.1")
NO_DEVICE = CodecProbe(SOFTWARE, hardware=False, usable=True)


@pytest.mark.parametrize(
    ("probes", "wanted", "chosen"),
    [
        ([NO_DEVICE, GPU], "auto", "cuda"),
        ([NO_DEVICE, GPU], "cuda", "cuda"),
        ([NO_DEVICE, GPU], SOFTWARE, SOFTWARE),
        ([NO_DEVICE, NO_GPU], "auto", SOFTWARE),
        ([NO_DEVICE], "auto", SOFTWARE),
    ],
)
def test_choice(monkeypatch: pytest.MonkeyPatch, probes: list[CodecProbe], wanted: str, chosen: str) -> None:
    monkeypatch.setattr(_devices, "list_video_decoders", lambda: probes)
    assert pick_live_decoder(wanted) == chosen


def test_what_does_not_work_is_the_hosts_fault_and_what_does_not_exist_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_devices, "list_video_decoders", lambda: [NO_DEVICE, NO_GPU])
    with pytest.raises(HostError, match="Cannot load libcuda"):
        pick_live_decoder("cuda")
    with pytest.raises(CallerError, match="it has software, cuda"):
        pick_live_decoder("voodoo")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], CodecProbe]:
    """Probe a host that has a device node, and a shell script in the place of the program that tries it."""

    def probe(script: str) -> CodecProbe:
        (tmp_path / "nvidiactl").touch()
        monkeypatch.setattr(_trial, "_DEV", tmp_path)
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return _trial.try_hardware("decode_on", "cuda", _devices.DEVICES["cuda"])

    return probe


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -SEGV $$", "its driver crashed (SIGSEGV)"),
        ("echo no libcuda >&2; exit 3", "the attempt failed with exit code 3: no libcuda"),
        ('echo noise; echo \'{"reason": "wrong"}\'', "wrong"),
    ],
)
def test_a_driver_that_fails_whoever_asks_it_is_reported(driver: Any, script: str, reason: str) -> None:
    assert driver(script) == CodecProbe("cuda", hardware=True, usable=False, reason=reason)


def test_a_driver_that_works_is_usable(driver: Any) -> None:
    assert driver('echo \'{"reason": ""}\'') == GPU


def test_a_driver_that_hangs_is_not_waited_for(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trial, "PROBE_LIMIT_S", 0.2)
    assert driver("exec sleep 60").reason == "no answer within 0.2 s: its driver hangs"


def test_a_host_without_the_device_is_not_even_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_trial, "_DEV", tmp_path)
    probe = _trial.try_hardware("decode_on", "cuda", _devices.DEVICES["cuda"])
    assert (probe.usable, probe.reason) == (
        False,
        f"this host has no {tmp_path}/nvidiactl and no {tmp_path}/dxg",
    )


class Grey(PlayedDevice):
    """A device whose pictures are wrong."""

    @staticmethod
    def _downloaded(frame: av.VideoFrame) -> av.VideoFrame:
        grey = av.VideoFrame.from_ndarray(
            np.full((frame.height * 3 // 2, frame.width), 128, np.uint8), "nv12"
        )
        grey.pts, grey.time_base = frame.pts, Fraction(1, 90_000)
        return grey


class Unused(PlayedDevice):
    """A device that leaves the work to software."""

    @staticmethod
    def _downloaded(frame: av.VideoFrame) -> av.VideoFrame:
        return frame


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (PlayedDevice, ""),
        (lambda name: PlayedDevice(name, external(), at=2), "the driver is gone"),
        (lambda name: PlayedDevice(name, at=3), "it gave 2 pictures of 4"),
        (Grey, "its pictures are wrong, by"),
        (Unused, "it does not take H.264 of 640x360"),
    ],
)
def test_a_device_is_believed_when_its_pictures_are_right(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[str], Any], reason: str
) -> None:
    monkeypatch.setattr(
        decode_on,
        "open_live_codec",
        lambda name, device: open_live_codec(name) if device == SOFTWARE else make(name),
    )
    said = decode_on.why_not("cuda")
    assert said.startswith(reason)
    assert bool(said) == bool(reason)
