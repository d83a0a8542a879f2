"""Audio beside the pictures: passed on or made into Opus, in sync, and never a reason to end a stream."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import av
import numpy as np
import pytest
from tests._support.media import (
    SMALL,
    WAIT_S,
    decode_bytes,
    grey,
    live_encoder,
    sound,
    to_rgb,
    transcode,
    ts_clip,
)

from ai_runner_base.media import (
    TICKS_PER_S,
    TIME_BASE,
    AudioInfo,
    AudioPacket,
    LiveEncoderOptions,
    clip,
)
from ai_runner_base.media._audio_transcode import OpusTranscoder
from ai_runner_base.media._clip_sound import OpusSound
from ai_runner_base.media._ts_demux import Program, TsDemuxer

pytestmark = pytest.mark.media

S = TICKS_PER_S
STEP = S // 30
SYNC_S = 0.040
Codec = Literal["libopus", "aac", "mp2"]


def beep_times(data: bytes) -> list[float]:
    """When the sound gets loud, in seconds of PTS."""
    samples, rate, start = sound(data)
    window = rate // 200
    blocks = samples[: len(samples) // window * window].reshape(-1, window)
    loud = np.sqrt((blocks**2).mean(axis=1)) > 0.1
    rises = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    return [start + index * window / rate for index in rises] + ([start] if loud[0] else [])


def flash_times(data: bytes) -> list[float]:
    """When the lamp is lit, in seconds of PTS."""
    marks = [
        (float(picture.pts * picture.time_base), clip.read_mark(to_rgb(picture, 256, 256)))
        for picture in decode_bytes(data).pictures
    ]
    lit = [(at, mark is not None and mark.flash) for at, mark in marks]
    return [at for (_, before), (at, now) in itertools.pairwise(lit) if now and not before]


def assert_in_sync(data: bytes) -> None:
    beeps, flashes = beep_times(data), flash_times(data)
    assert len(flashes) >= 2
    for flash in flashes:
        assert min(abs(flash - beep) for beep in beeps) <= SYNC_S


@pytest.mark.parametrize("codec", ["libopus", "aac", "mp2"])
@pytest.mark.parametrize("mode", ["opus", "copy"])
def test_sound_stays_with_its_picture(codec: Codec, mode: Literal["opus", "copy"]) -> None:
    data = ts_clip(3.2, replace(SMALL, audio=codec, start_pts=10 * S))
    options = LiveEncoderOptions(audio=mode, queue_frames=1000)
    received, output = transcode(data, 320, 240, options=options)
    assert_in_sync(data)
    assert_in_sync(output.data)
    with av.open(io.BytesIO(output.data)) as container:
        name = container.streams.audio[0].codec_context.codec.canonical_name
    copied = {"libopus": "opus", "aac": "aac", "mp2": "mp2"}[codec]
    assert name == ("opus" if mode == "opus" else copied)
    if mode == "copy" or codec == "libopus":
        again = decode_bytes(output.data).audio
        assert [(packet.pts, packet.data) for packet in again] == [
            (packet.pts, packet.data) for packet in received.audio
        ]


def test_the_first_segment_announces_what_the_input_announced() -> None:
    _, output = transcode(ts_clip(1, replace(SMALL, audio="aac")), 320, 240)
    (program, *_) = TsDemuxer().feed(output.data, 0)
    assert isinstance(program, Program)
    assert program.audio is not None
    assert program.audio.codec == "opus"
    assert len(output.cuts) == 1


def test_no_audio_in_no_audio_out() -> None:
    _, output = transcode(ts_clip(1), 320, 240)
    with av.open(io.BytesIO(output.data)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_audio_can_be_left_out() -> None:
    options = LiveEncoderOptions(audio="none", queue_frames=1000)
    _, output = transcode(ts_clip(1, replace(SMALL, audio="libopus")), 320, 240, options=options)
    with av.open(io.BytesIO(output.data)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_encoder_delay_before_zero_is_left_out() -> None:
    encoder, output = live_encoder(audio=AudioInfo("opus", 48_000, 1))
    packets = opus_packets(1)
    assert packets[0].pts < 0
    encoder.submit(grey(320, 240, 0), 0, TIME_BASE)
    for packet in packets:
        encoder.submit_audio(packet)
    assert encoder.close(WAIT_S)
    assert [packet.pts for packet in decode_bytes(output.data).audio] == [p.pts for p in packets[1:]]


def opus_packets(seconds: float, start_pts: int = 0) -> list[AudioPacket]:
    return list(OpusSound().until(seconds, start_pts, 0))


def test_late_audio_is_announced_in_a_segment_of_its_own() -> None:
    encoder, output = live_encoder()
    packets = opus_packets(2, 0)
    for index in range(60):
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE)
        if index >= 30:
            due = [packet for packet in packets if index * STEP <= packet.pts < (index + 1) * STEP]
            for packet in due:
                encoder.submit_audio(packet)
            wait_until(lambda index=index: encoder.counters.frames == index + 1)
    assert encoder.close(WAIT_S)
    assert len(output.cuts) == 2
    assert encoder.counters.frames == 60
    late = decode_bytes(output.segments[1])
    assert late.audio
    assert decode_bytes(output.data).infos[-1].audio is not None


def test_audio_before_the_first_picture_waits_for_it() -> None:
    encoder, output = live_encoder(audio=AudioInfo("opus", 48_000, 1))
    packets = opus_packets(3)
    for packet in packets:
        encoder.submit_audio(packet)
    for index in range(10):
        encoder.submit(grey(320, 240, index), int(2.5 * S) + index * STEP, TIME_BASE)
    assert encoder.close(WAIT_S)
    assert output.parts[0][1] is not None  # nothing came before the first key frame
    kept = [packet.pts for packet in decode_bytes(output.data).audio]
    assert kept == [packet.pts for packet in packets if 2.5 * S - packet.pts <= 2 * S]
    assert encoder.counters.dropped_audio == len(packets) - len(kept)


def test_audio_that_waits_for_a_picture_is_bounded() -> None:
    encoder, output = live_encoder(audio=AudioInfo("opus", 48_000, 1))
    for index in range(1000):
        encoder.submit_audio(
            AudioPacket(b"\xfc\xff\xfe", index * 1800, TIME_BASE, AudioInfo("opus", 48_000, 1))
        )
    encoder.submit(grey(320, 240, 0), 999 * 1800, TIME_BASE)
    assert encoder.close(WAIT_S)
    kept = decode_bytes(output.data).audio
    assert 0 < len(kept) <= 200
    assert kept[-1].pts == 999 * 1800
    assert encoder.counters.dropped_audio == 1000 - len(kept)


def test_audio_whose_pts_does_not_increase_is_dropped() -> None:
    encoder, output = live_encoder(audio=AudioInfo("opus", 48_000, 1))
    encoder.submit(grey(320, 240, 0), 0, TIME_BASE)
    info = AudioInfo("opus", 48_000, 1)
    for at in (0, 1800, 1800, 900, 3600):
        encoder.submit_audio(AudioPacket(b"\xfc\xff\xfe", at, TIME_BASE, info))
    assert encoder.close(WAIT_S)
    assert [packet.pts for packet in decode_bytes(output.data).audio] == [0, 1800, 3600]
    assert encoder.counters.dropped_pts_order == 2


def test_audio_that_nobody_can_decode_costs_the_audio_only(caplog: pytest.LogCaptureFixture) -> None:
    encoder, output = live_encoder(audio=AudioInfo("no_such_codec"))
    for index in range(10):
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE)
        encoder.submit_audio(AudioPacket(b"x", index * STEP, TIME_BASE, AudioInfo("no_such_codec")))
    assert encoder.close(WAIT_S)
    assert output.ends == [None]
    assert encoder.counters.frames == 10
    assert "no_such_codec" in caplog.text


def test_damaged_audio_costs_its_packets_only() -> None:
    data = ts_clip(2, replace(SMALL, audio="aac"))
    received = decode_bytes(data)
    encoder, output = live_encoder(audio=received.infos[-1].audio)
    for index in range(60):
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE)
    for index, packet in enumerate(received.audio):
        encoder.submit_audio(replace(packet, data=b"\xff" * 50) if index % 5 == 4 else packet)
    assert encoder.close(WAIT_S)
    assert output.ends == [None]
    assert len(decode_bytes(output.data).audio) > 60


def transcoded_pts(packets: list[AudioPacket]) -> list[int]:
    transcoder = OpusTranscoder(packets[0].info, 1)
    pairs = [pair for packet in packets for pair in transcoder.convert(packet)]
    return [pts for pts, _ in (*pairs, *transcoder.flush())]


def aac_packets(seconds: float = 1) -> list[AudioPacket]:
    return decode_bytes(ts_clip(seconds, replace(SMALL, audio="aac"))).audio


@pytest.mark.parametrize(("hole_s", "continuous"), [(0.5, True), (3.0, False)])
def test_a_hole_in_the_input_does_not_move_what_follows(hole_s: float, continuous: bool) -> None:
    packets = aac_packets(2)
    half = len(packets) // 2
    hole = round(hole_s * S)
    shifted = [replace(packet, pts=packet.pts + hole) for packet in packets[half:]]
    pts = transcoded_pts(packets[:half] + shifted)
    steps = {b - a for a, b in itertools.pairwise(pts)}
    assert (steps == {1800}) is continuous
    expected_end = packets[-1].pts + hole
    assert abs(pts[-1] - expected_end) < S * 0.15


def test_time_stamps_that_drift_are_followed_within_the_tolerance() -> None:
    """A sender whose clock runs 2 % slow: the output must not run away from the pictures."""
    packets = aac_packets(2)
    drifting = [replace(packet, pts=round(packet.pts * 1.02)) for packet in packets]
    pts = transcoded_pts(drifting)
    assert abs(pts[-1] - drifting[-1].pts) < S * 0.15
    assert len(pts) > len(transcoded_pts(packets))


def test_raw_aac_of_other_containers_gets_its_header() -> None:
    """As it comes from RTMP and MP4: without ADTS, with an AudioSpecificConfig."""
    adts = aac_packets(1)
    config = bytes.fromhex("1188")  # AAC LC, 48 kHz, mono
    info = AudioInfo("aac", 48_000, 1, extradata=config)
    encoder, output = live_encoder(audio=info, options=LiveEncoderOptions(audio="copy", queue_frames=100))
    encoder.submit(grey(320, 240, 0), 0, TIME_BASE)
    for packet in adts:
        frame = single_frame(packet.data)
        encoder.submit_audio(replace(packet, data=frame[7:], info=info))
    assert encoder.close(WAIT_S)
    samples, rate, _ = sound(output.data)
    assert rate == 48_000
    assert np.abs(samples).max() > 0.2


def single_frame(data: bytes) -> bytes:
    """The first ADTS frame."""
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return data[:size]
