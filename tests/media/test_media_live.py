"""`LiveEncoder`: segments that stand alone and join cleanly, the input's timeline, no waiting, nothing lost."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from tests._support.media import (
    SMALL,
    WAIT_S,
    continuity_errors,
    decode_bytes,
    encode_frames,
    grey,
    libav_frames,
    libav_pts,
    live_encoder,
    packet_pid,
    pcr_ticks,
    to_rgb,
    transcode,
    ts_clip,
    ts_packets,
)

from ai_runner_base.errors import HostError
from ai_runner_base.media import (
    TICKS_PER_S,
    TIME_BASE,
    AudioInfo,
    AudioPacket,
    ClipOptions,
    Cut,
    LiveEncoder,
    LiveEncoderOptions,
    VideoEncoderOptions,
    read_counter,
)
from ai_runner_base.media._bitstream import nal_kinds
from ai_runner_base.media._ts_demux import Program, TsDemuxer, Unit

pytestmark = pytest.mark.media

S = TICKS_PER_S
STEP = S // 30


def counters_of(data: bytes) -> list[int | None]:
    return [read_counter(to_rgb(p, p.width, p.height)) for p in decode_bytes(data).pictures]


def test_every_frame_comes_back_with_its_pts_and_picture() -> None:
    received, output = transcode(ts_clip(2), 320, 240)
    assert libav_pts(output.data) == received.pts
    assert counters_of(output.data) == list(range(60))
    assert output.ends == [None]
    stamps = [given for _, _, given in output.parts if given is not None]
    assert stamps == received.pictures


@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("size", [(512, 512), (512, 288)])
def test_another_size_and_b_frames_in_the_input(size: tuple[int, int], bframes: int) -> None:
    received, output = transcode(ts_clip(1, replace(SMALL, bframes=bframes)), *size)
    frames = libav_frames(output.data)
    assert [frame.pts for frame in frames] == received.pts
    assert {(frame.width, frame.height) for frame in frames} == {size}
    assert counters_of(output.data) == list(range(30))


def test_every_segment_stands_alone_and_all_join_cleanly() -> None:
    options = LiveEncoderOptions(key_frame_interval_s=0.5, queue_frames=1000)
    received, output = transcode(ts_clip(3, replace(SMALL, audio="libopus")), 320, 240, options=options)
    assert len(output.segments) == 6
    total = []
    for segment in output.segments:
        alone = decode_bytes(segment)
        assert alone.error is None
        assert alone.decoder.counters.skipped_before_key_frame == 0
        assert libav_pts(segment) == alone.pts
        total += alone.pts
    assert total == received.pts
    assert continuity_errors(output.data) == []
    joined = decode_bytes(output.data)
    counters = joined.decoder.counters
    assert (counters.lost_packets, counters.resyncs, counters.invalid_packets) == (0, 0, 0)


def test_a_segment_begins_with_tables_parameter_sets_and_idr() -> None:
    output = encode_frames([index * STEP for index in range(150)])
    assert [cut.pts for cut in output.cuts] == [0, 2 * S, 4 * S]
    assert [cut.index for cut in output.cuts] == [0, 1, 2]
    for segment in output.segments:
        packets = list(ts_packets(segment))
        assert [packet_pid(packet) for packet in packets[:3]] == [0, 0x1000, 0x100]
        assert packets[2][5] & 0x40  # random access
        items = TsDemuxer().feed(segment, 0)
        assert isinstance(items[0], Program)
        assert isinstance(items[1], Unit)
        kinds = nal_kinds(items[1].data)
        assert kinds[0] == 9
        assert kinds.index(7) < kinds.index(8) < kinds.index(5)
        others = [nal_kinds(item.data) for item in items[2:] if isinstance(item, Unit)]
        assert not any(5 in kinds for kinds in others)


def test_only_whole_packets_are_given_and_nothing_before_the_first_cut() -> None:
    output = encode_frames([index * STEP for index in range(10)])
    assert output.parts[0][1] == Cut(0, 0)
    assert all(len(data) % 188 == 0 for data, _, _ in output.parts)


def test_a_frame_comes_out_before_the_next_goes_in() -> None:
    """By logic, not by the clock: with an audio track announced that never says a word."""
    encoder, output = live_encoder(audio=AudioInfo("opus", 48_000, 2))
    arrived = threading.Semaphore(0)
    encoder._line._on_bytes = lambda *part: (output.parts.append(part), arrived.release())
    for index in range(40):
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE, index)
        assert arrived.acquire(timeout=WAIT_S), f"frame {index} waits for something"
    assert encoder.close(WAIT_S)


def test_a_requested_key_frame_begins_a_segment() -> None:
    encoder, output = live_encoder()
    for index in range(20):
        if index == 7:
            wait_for(lambda: encoder.counters.frames == 7)
            encoder.request_key_frame()
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE)
    assert encoder.close(WAIT_S)
    assert [cut.pts for cut in output.cuts] == [0, 7 * STEP]


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]  # any callable of no arguments
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_time_stamps_of_another_time_base_are_kept() -> None:
    encoder, output = live_encoder()
    for index in range(10):
        encoder.submit(grey(320, 240, index), 1000 + index * 40, Fraction(1, 1000))
    assert encoder.close(WAIT_S)
    assert libav_pts(output.data) == [90 * (1000 + index * 40) for index in range(10)]


def test_frames_out_of_order_are_dropped_and_counted() -> None:
    encoder, output = live_encoder()
    released = []
    for at in (0, STEP, STEP, STEP // 2, 2 * STEP):
        encoder.submit(grey(320, 240, 1), at, TIME_BASE, None, lambda: released.append(1))
    assert encoder.close(WAIT_S)
    assert libav_pts(output.data) == [0, STEP, 2 * STEP]
    assert encoder.counters.dropped_pts_order == 2
    assert len(released) == 5


@pytest.mark.parametrize("second", [0, 5000 * S], ids=["back", "ahead"])
def test_a_jump_of_the_timeline_begins_a_marked_segment(second: int) -> None:
    first = 1000 * S
    stamps = [first + index * STEP for index in range(10)] + [second + index * STEP for index in range(10)]
    output = encode_frames(stamps)
    assert output.cuts == [Cut(0, first), Cut(1, second, discontinuity=True)]
    assert decode_bytes(output.data).pts == stamps
    assert continuity_errors(output.data) == []


def test_the_timeline_runs_over_the_wrap() -> None:
    start = 2**33 - 5 * STEP
    output = encode_frames([start + index * STEP for index in range(10)])
    got = decode_bytes(output.segments[0])
    assert [pts % 2**33 for pts in got.pts] == [(start + index * STEP) % 2**33 for index in range(10)]
    assert len(output.cuts) == 1


def test_the_clock_is_close_before_the_frames() -> None:
    stamps = [index * STEP + 10 * S for index in range(30)]
    clock = pcr_ticks(encode_frames(stamps).data)
    assert len(clock) == 30
    assert all(0 < pts - tick < S // 4 for pts, tick in zip(stamps, clock, strict=True))


def test_the_array_is_given_back_before_its_bytes_are_out() -> None:
    order = []
    encoder, _ = live_encoder()
    encoder._line._on_bytes = lambda *_: order.append("bytes")
    encoder.submit(grey(320, 240, 1), 0, TIME_BASE, None, lambda: order.append("done"))
    assert encoder.close(WAIT_S)
    assert order == ["done", "bytes"]


def test_a_full_queue_drops_the_oldest_frame_and_gives_it_back() -> None:
    output_blocked, go_on = threading.Event(), threading.Event()
    encoder, output = live_encoder(options=LiveEncoderOptions(queue_frames=2))

    def on_bytes(*part: object) -> None:
        output.parts.append(part)  # type: ignore[arg-type]  # the same three values
        output_blocked.set()
        go_on.wait(WAIT_S)

    encoder._line._on_bytes = on_bytes
    released: list[int] = []
    assert encoder.submit(grey(320, 240, 0), 0, TIME_BASE, 0, lambda: released.append(0))
    assert output_blocked.wait(WAIT_S)
    results = [
        encoder.submit(grey(320, 240, n), n * STEP, TIME_BASE, n, lambda n=n: released.append(n))
        for n in (1, 2, 3, 4)
    ]
    assert results == [True, True, False, False]
    go_on.set()
    assert encoder.close(WAIT_S)
    assert [stamps for _, _, stamps in output.parts] == [0, 3, 4]
    assert sorted(released) == [0, 1, 2, 3, 4]
    assert encoder.counters.dropped_queue_full == 2


def test_arrays_of_changing_size_are_rescaled() -> None:
    encoder, output = live_encoder(256, 256)
    for index, (width, height) in enumerate([(256, 256), (512, 512), (128, 64), (256, 256)]):
        encoder.submit(grey(width, height, 50), index * STEP, TIME_BASE)
    assert encoder.close(WAIT_S)
    assert [(frame.width, frame.height) for frame in libav_frames(output.data)] == [(256, 256)] * 4


def test_an_odd_size_loses_its_last_line() -> None:
    output = encode_frames([0, STEP], width=321, height=241)
    assert [(frame.width, frame.height) for frame in libav_frames(output.data)] == [(320, 240)] * 2


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1280, 720)])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)])
def test_colours_survive_and_are_marked(width: int, height: int, colour: tuple[int, int, int]) -> None:
    encoder, output = live_encoder(width, height)
    encoder.submit(np.full((height, width, 3), colour, np.uint8), 0, TIME_BASE)
    assert encoder.close(WAIT_S)
    (picture,) = decode_bytes(output.data).pictures
    assert picture.frame.colorspace == (1 if height >= 720 else 6)
    assert picture.frame.color_range == 1
    assert np.abs(to_rgb(picture, width, height).astype(int) - colour).max() <= 6


@pytest.mark.parametrize("codec", ["libx264", "libopenh264"])
def test_encoders_that_this_ffmpeg_may_have(codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    options = LiveEncoderOptions(VideoEncoderOptions(codec=codec), key_frame_interval_s=0.5, queue_frames=99)
    received, output = transcode(ts_clip(2), 320, 240, options=options)
    assert libav_pts(output.data) == received.pts
    assert len(output.segments) == 4
    for segment in output.segments:
        assert decode_bytes(segment).decoder.counters.skipped_before_key_frame == 0


def test_an_encoder_that_does_not_open_ends_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_runner_base.media import _video_encoder

    monkeypatch.setattr(_video_encoder, "H264_ENCODERS", ("no_such_encoder",))
    ends: list[object] = []
    encoder = LiveEncoder(64, 64, on_bytes=lambda *_: None, on_end=ends.append)
    released: list[int] = []
    encoder.submit(grey(64, 64, 0), 0, TIME_BASE, None, lambda: released.append(1))
    encoder.start()
    wait_for(lambda: ends)
    assert isinstance(ends[0], HostError)
    assert "no_such_encoder" in ends[0].message
    assert not encoder.submit(grey(64, 64, 0), STEP, TIME_BASE, None, lambda: released.append(1))
    assert len(released) == 2
    assert encoder.close(WAIT_S)


def test_an_encoder_by_name_that_does_not_open_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    """It did when the runner started; a GPU has so many sessions and no more."""
    from ai_runner_base.media import _video_encoder

    encoder, output = live_encoder(options=LiveEncoderOptions(VideoEncoderOptions(codec="h264_nvenc_gone")))
    for index in range(2):
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE)
    wait_for(lambda: encoder.counters.frames)
    assert encoder.encoded_by in _video_encoder.H264_ENCODERS
    assert encoder.close(WAIT_S)
    assert libav_pts(output.data) == [0, STEP]
    assert "h264_nvenc_gone" in caplog.text


def test_a_missing_favourite_is_replaced_with_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ai_runner_base.media import _video_encoder

    monkeypatch.setattr(_video_encoder, "H264_ENCODERS", ("no_such_encoder", "libx264"))
    output = encode_frames([0, STEP])
    assert libav_pts(output.data) == [0, STEP]
    assert "libx264" in caplog.text
    assert "no_such_encoder" in caplog.text


def test_an_encoder_that_fails_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real encoder that raises once, as a GPU encoder does when its device was reset."""
    from ai_runner_base.media._video_encoder import VideoEncoder

    real, failures = VideoEncoder.encode, iter([False, False, True])

    def encode(self: VideoEncoder, frame: object, pts: int = 0, *, key_frame: bool = False) -> object:
        if next(failures, False):
            raise av.error.ExternalError(1, "device lost")
        return real(self, frame, pts, key_frame=key_frame)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(VideoEncoder, "encode", encode)
    encoder, output = live_encoder()
    for index in range(6):
        encoder.submit(grey(320, 240, index), index * STEP, TIME_BASE)
    assert encoder.close(WAIT_S)
    assert encoder.counters.reopened == 1
    assert [cut.pts for cut in output.cuts] == [0, 3 * STEP]
    assert libav_pts(output.data) == [0, STEP, 3 * STEP, 4 * STEP, 5 * STEP]


def test_closing_twice_and_without_start() -> None:
    encoder, output = live_encoder()
    assert encoder.close(WAIT_S)
    assert encoder.close(WAIT_S)
    assert output.ends == [None]
    assert output.parts == []
    idle = LiveEncoder(64, 64, on_bytes=lambda *_: None)
    assert idle.close()
    assert not idle.submit(grey(64, 64, 0), 0, TIME_BASE)
    packet = AudioPacket(b"x", 0, TIME_BASE, AudioInfo("opus"))
    assert not idle.submit_audio(packet)


def test_low_bitrate_keeps_the_counter_readable() -> None:
    video = VideoEncoderOptions(max_bitrate_bps=300_000)
    options = LiveEncoderOptions(video, queue_frames=1000)
    clip = ClipOptions(width=1280, height=720, audio=None, preset="ultrafast")
    _, output = transcode(ts_clip(1, clip), 512, 512, options=options)
    assert [
        read_counter(to_rgb(picture, 512, 512)) for picture in decode_bytes(output.data).pictures
    ] == list(range(30))
