"""Bad input ends with words that say what came, never with a hang; and less bad input goes on."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
from tests._support.media import PACKET, SMALL, Receiver, decode_bytes, libav_pts, ts_clip

from ai_runner_base.errors import CallerError
from ai_runner_base.media import BytePipe, DecodePolicy, DecoderOptions
from ai_runner_base.media._ts_demux import TsDemuxer, Unit
from ai_runner_base.media._ts_mux import AudioTrack, TsMuxer

pytestmark = pytest.mark.media


def message_of(data: bytes, options: DecoderOptions | None = None) -> str:
    error = decode_bytes(data, options).error
    assert isinstance(error, CallerError)
    return error.message


def test_nothing_at_all() -> None:
    assert message_of(b"") == "the input ended before its first byte"


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html><body>404", b"\x00\x00\x00\x20ftypisom" + bytes(500), b"G"]
)
def test_something_else(data: bytes) -> None:
    message = message_of(data)
    assert "not MPEG-TS" in message
    assert data[:8].hex(" ") in message


def test_something_else_without_end_is_refused_early() -> None:
    pipe = BytePipe(1 << 30)
    receiver = Receiver(pipe)
    receiver.decoder.start()
    rng = random.Random(0)
    pipe.write(bytes(rng.choice(b"abcdef") for _ in range(100_000)))
    receiver.finish()  # though the pipe is still open
    assert "not MPEG-TS" in str(receiver.error)


def test_packets_without_a_program() -> None:
    video_only = b"".join(
        ts_clip(1)[at : at + PACKET]
        for at in range(0, len(ts_clip(1)), PACKET)
        if ts_clip(1)[at + 1] & 0x1F == 1
    )
    assert "no program table" in message_of(video_only)


def test_audio_alone() -> None:
    muxer = TsMuxer(AudioTrack("opus", 2))
    tables = muxer.tables().replace(b"\x1b\xe1\x00", b"\xea\xe1\x00")  # a stream type that nobody knows
    data = fix_checksum(tables) + muxer.audio_unit(b"\xfc\xff\xfe", 0) * 20
    message = message_of(data)
    assert "no video track" in message
    assert "opus" in message
    assert "0xea" in message


def test_audio_alone_without_end_is_refused_after_the_probe_time() -> None:
    muxer = TsMuxer(AudioTrack("opus", 2))
    tables = fix_checksum(muxer.tables().replace(b"\x1b\xe1\x00", b"\xea\xe1\x00"))
    pipe = BytePipe()
    receiver = Receiver(pipe, DecoderOptions(probe_timeout_s=0.05))
    receiver.decoder.start()
    pipe.write(tables)
    deadline = time.monotonic() + 10
    while receiver.ends == 0 and time.monotonic() < deadline:
        pipe.write(muxer.audio_unit(b"\xfc\xff\xfe", 0))
        time.sleep(0.01)
    receiver.finish()
    assert "no video track" in str(receiver.error)


def fix_checksum(tables: bytes) -> bytes:
    from ai_runner_base.media._ts import crc32

    packets = []
    for packet in (tables[:PACKET], tables[PACKET:]):
        size = 3 + ((packet[6] & 0x0F) << 8 | packet[7])
        body = packet[5 : 5 + size - 4]
        packets.append(packet[:5] + body + crc32(body).to_bytes(4) + packet[5 + size :])
    return b"".join(packets)


def test_a_stream_without_a_key_frame() -> None:
    muxer, demuxer = TsMuxer(), TsDemuxer()
    units = [item for item in demuxer.feed(ts_clip(1), 0) if isinstance(item, Unit)]
    data = muxer.tables() + b"".join(
        muxer.video_unit(unit.data, unit.pts or 0, unit.pts or 0, key_frame=False) for unit in units[1:]
    )
    message = message_of(data)
    assert "not one picture" in message
    assert "key frame" in message


def test_cut_off_in_the_middle_of_the_first_frame() -> None:
    assert "not one picture" in message_of(ts_clip(1)[: 5 * PACKET])


@pytest.mark.parametrize("cut", [50_000, 50_001, 50_187])
def test_cut_off_later_gives_what_came_before(cut: int) -> None:
    data = ts_clip(2, replace(SMALL, crf=10))
    assert len(data) > 60_000
    got = decode_bytes(data[:cut])
    assert got.error is None
    assert 0 < len(got.pictures) < 60
    assert got.pts == libav_pts(data)[: len(got.pictures)]


def test_a_segment_cut_short_does_not_cost_the_next_one() -> None:
    first, second = ts_clip(1), ts_clip(1, replace(SMALL, start_pts=90_000))
    got = decode_bytes(first[: len(first) // 2 + 77] + second)
    assert got.error is None
    assert got.pts[-30:] == libav_pts(second)


def test_damage_in_the_middle_is_survived() -> None:
    data = bytearray(ts_clip(3))
    rng = random.Random(7)
    for _ in range(60):
        at = rng.randrange(len(data) // 4, len(data) // 2)
        data[at] = rng.randrange(256)
    got = decode_bytes(bytes(data))
    assert got.error is None
    assert got.pts[-20:] == libav_pts(ts_clip(3))[-20:]


def bad_frames(count: int) -> bytes:
    """A good start, then access units that no decoder can use."""
    muxer, demuxer = TsMuxer(), TsDemuxer()
    units = [item for item in demuxer.feed(ts_clip(1), 0) if isinstance(item, Unit)]
    data = muxer.tables()
    for unit in units:
        data += muxer.video_unit(unit.data, unit.pts or 0, unit.pts or 0, key_frame=False)
    pts = 90_000
    for number in range(count):
        rubbish = b"\x00\x00\x00\x01\x65" + bytes((number % 200 + 20,)) * 40
        data += muxer.video_unit(rubbish, pts + number * 3000, pts + number * 3000, key_frame=True)
    return data


def test_a_few_bad_frames_are_forgiven() -> None:
    got = decode_bytes(bad_frames(8) + ts_clip(1, replace(SMALL, start_pts=4 * 90_000)))
    assert got.error is None
    assert got.decoder.counters.invalid_packets == 8
    assert got.decoder.counters.reopened == 0
    assert len(got.pictures) >= 60


def test_more_bad_frames_are_answered_with_a_new_decoder() -> None:
    got = decode_bytes(bad_frames(15) + ts_clip(1, replace(SMALL, start_pts=4 * 90_000)))
    assert got.error is None
    assert got.decoder.counters.reopened == 1
    assert len(got.pictures) >= 60


def test_nothing_but_bad_frames_ends_after_three_new_decoders() -> None:
    got = decode_bytes(bad_frames(100))
    assert isinstance(got.error, CallerError)
    assert "cannot be decoded" in got.error.message
    assert got.decoder.counters.reopened == 3
    assert got.decoder.counters.invalid_packets == 44


def test_the_budget_can_be_set() -> None:
    options = DecoderOptions(policy=DecodePolicy(invalid_budget=0, max_reopens=0))
    got = decode_bytes(bad_frames(5), options)
    assert got.decoder.counters.invalid_packets == 1
    assert isinstance(got.error, CallerError)


def test_frames_without_pts_are_skipped_and_counted() -> None:
    muxer, demuxer = TsMuxer(), TsDemuxer()
    units = [item for item in demuxer.feed(ts_clip(1), 0) if isinstance(item, Unit)]
    data = muxer.tables()
    for index, unit in enumerate(units):
        packets = muxer.video_unit(unit.data, unit.pts or 0, unit.pts or 0, key_frame=False)
        if index == 29:
            start = packets.index(b"\x00\x00\x01\xe0")
            packets = packets[: start + 7] + b"\x00" + packets[start + 8 :]
        data += packets
    got = decode_bytes(data)
    assert len(got.pictures) == 29
    assert got.decoder.counters.skipped_without_pts == 1
