"""Packets that are lost cost the pictures that need them, and no picture is wrong."""

from __future__ import annotations

import random

import pytest
from tests._support.media import decode_bytes, packet_pid, to_rgb, ts_packets

from ai_runner_base.media import ClipOptions, encode_ts_clip, read_counter

pytestmark = pytest.mark.media

FPS = 24
PERIOD = 90_000 // FPS
VIDEO_PID = 0x100


def clip(seconds: float, key_frame_interval_s: float = 1.0) -> bytes:
    options = ClipOptions(
        width=512, height=512, fps=FPS, audio=None, key_frame_interval_s=key_frame_interval_s
    )
    return encode_ts_clip(seconds, options)


def frame_starts(data: bytes) -> list[int]:
    """Number of the first packet of each frame."""
    return [
        index
        for index, packet in enumerate(ts_packets(data))
        if packet_pid(packet) == VIDEO_PID and packet[1] & 0x40
    ]


def without(data: bytes, frame: int, *, keep: int, until_frame: int) -> bytes:
    """The clip without a frame's packets from the `keep`-th on, up to another frame."""
    packets, starts = list(ts_packets(data)), frame_starts(data)
    return b"".join(packets[: starts[frame] + keep] + packets[starts[until_frame] :])


def numbers(data: bytes) -> list[int | None]:
    return [read_counter(to_rgb(picture, 512, 512)) for picture in decode_bytes(data).pictures]


def test_a_sender_that_breaks_off_in_a_frame_leaves_no_half_picture() -> None:
    seen = numbers(without(clip(3), 31, keep=1, until_frame=48))
    assert seen == [*range(31), *range(48, 72)]


def test_a_half_packet_shows_a_loss_even_where_the_packets_count_fits() -> None:
    data, packets = clip(3), list(ts_packets(clip(3)))
    starts = frame_starts(data)
    lost = sum(packet_pid(packet) == VIDEO_PID for packet in packets[starts[30] + 1 : starts[48]])
    assert lost % 16 == 0, "choose another frame: this test needs a loss that the counter does not show"
    broken = without(data, 30, keep=1, until_frame=48)
    at = (starts[30] + 1) * 188
    assert numbers(broken[:at] + packets[starts[30] + 1][:100] + broken[at:]) == [*range(30), *range(48, 72)]


def test_rubbish_between_frames_costs_nothing() -> None:
    data = clip(2)
    at = frame_starts(data)[30] * 188
    assert numbers(data[:at] + random.Random(1).randbytes(5000) + data[at:]) == [*range(48)]


def test_after_a_loss_the_next_key_frame_is_waited_for() -> None:
    got = decode_bytes(without(clip(3), 30, keep=1, until_frame=31))
    seen = [read_counter(to_rgb(picture, 512, 512)) for picture in got.pictures]
    assert seen == [*range(30), *range(48, 72)]
    assert got.pictures[30].discontinuity
    assert got.decoder.counters.lost_packets == 1
    assert got.decoder.counters.skipped_before_key_frame == 17


def test_without_a_key_frame_pictures_come_again_after_three_seconds() -> None:
    got = decode_bytes(without(clip(6, key_frame_interval_s=100), 30, keep=1, until_frame=31))
    assert [picture.pts for picture in got.pictures[:30]] == [n * PERIOD for n in range(30)]
    late = [picture.pts for picture in got.pictures[30:]]
    assert late
    assert 3 * FPS < late[0] / PERIOD - 31 < 3.5 * FPS


def test_a_whole_frame_that_is_missing_is_a_loss_too() -> None:
    seen = numbers(without(clip(2), 10, keep=0, until_frame=11))
    assert seen == [*range(10), *range(24, 48)]
