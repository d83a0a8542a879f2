"""MPEG-TS both ways: what the muxer writes the demuxer reads, at once, and damage stays small."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests._support.media import PACKET, continuity_errors, packet_pid, pcr_ticks, ts_packets

from ai_runner_base.media._ts import WRAP, crc32, read_timestamp, write_timestamp
from ai_runner_base.media._ts_demux import Program, TsDemuxer, Unit
from ai_runner_base.media._ts_mux import PCR_LEAD_TICKS, AudioTrack, TsMuxer

pytestmark = pytest.mark.unit

AUD = b"\x00\x00\x00\x01\x09\xf0"
VIDEO_PID, AUDIO_PID = 0x100, 0x101


def frame(size: int, seed: int = 0) -> bytes:
    """An access unit of exactly this many bytes."""
    return AUD + random.Random(seed).randbytes(size - len(AUD))


def units(items: list[Program | Unit]) -> list[Unit]:
    return [item for item in items if isinstance(item, Unit)]


def without_length(packets: bytes) -> bytes:
    """The same PES packet with an open length, as other muxers write video."""
    start = packets.index(b"\x00\x00\x01\xe0")
    return packets[: start + 4] + b"\x00\x00" + packets[start + 6 :]


def started(muxer: TsMuxer) -> TsDemuxer:
    demuxer = TsDemuxer()
    assert [type(item) for item in demuxer.feed(muxer.tables(), 0)] == [Program]
    return demuxer


@given(value=st.integers(0, WRAP - 1), prefix=st.sampled_from([1, 2, 3]))
def test_timestamps_survive(value: int, prefix: int) -> None:
    assert read_timestamp(write_timestamp(prefix, value), 0) == value


def test_crc_is_the_one_of_mpeg2() -> None:
    assert crc32(b"123456789") == 0x0376E6E7  # the published check value


@settings(deadline=None, max_examples=60)
@given(size=st.integers(len(AUD) + 1, 3000), pts=st.integers(0, WRAP - 1), lag=st.integers(0, 20_000))
def test_a_frame_is_there_with_its_last_packet(size: int, pts: int, lag: int) -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = muxer.video_unit(frame(size), pts, pts - lag, key_frame=False)
    assert units(demuxer.feed(packets[:-PACKET], 1)) == []
    (unit,) = units(demuxer.feed(packets[-PACKET:], 2))
    assert (unit.data, unit.pts, unit.dts) == (frame(size), pts, (pts - lag) % WRAP)
    assert unit.received_ns == 2


@pytest.mark.parametrize("size", range(500, 700))
def test_an_open_length_is_no_reason_to_wait_if_the_last_packet_is_stuffed(size: int) -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = without_length(muxer.video_unit(frame(size), 0, 0, key_frame=False))
    stuffed = bool(packets[-PACKET + 3] & 0x20)
    got = units(demuxer.feed(packets, 1))
    assert [unit.data for unit in got] == ([frame(size)] if stuffed else [])
    later = units(demuxer.feed(muxer.video_unit(frame(100), 3000, 3000, key_frame=False), 2))
    assert [unit.data for unit in got + later] == [frame(size), frame(100)]


def test_the_sizes_above_hold_both_cases() -> None:
    def last_is_full(size: int) -> bool:
        packets = TsMuxer().video_unit(frame(size), 0, 0, key_frame=False)
        return not packets[-PACKET + 3] & 0x20

    assert {last_is_full(size) for size in range(500, 700)} == {True, False}


def full(sizes: range) -> int:
    """A size at which a frame fills its last packet exactly."""
    return next(
        size
        for size in sizes
        if not TsMuxer().video_unit(frame(size), 0, 0, key_frame=False)[-PACKET + 3] & 0x20
    )


def test_a_frame_that_fills_its_last_packet_is_given_in_the_silence_after_it() -> None:
    size = full(range(500, 700))
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = without_length(muxer.video_unit(frame(size), 0, 0, key_frame=False))
    assert units(demuxer.feed(packets[:-5], 1)) == []
    assert not demuxer.may_be_whole
    assert demuxer.settle() == []
    assert units(demuxer.feed(packets[-5:], 2)) == []
    assert demuxer.may_be_whole
    (unit,) = units(demuxer.settle())
    assert (unit.data, unit.received_ns) == (frame(size), 2)
    assert not demuxer.may_be_whole
    later = units(demuxer.feed(muxer.video_unit(frame(100), 3000, 3000, key_frame=False), 3))
    assert [unit.data for unit in later] == [frame(100)]
    assert demuxer.early_end_mistakes == 0


@pytest.mark.parametrize("rubbish_bytes", [100, 700, 2000])
def test_silence_after_rubbish_does_not_make_half_a_frame_a_whole_one(rubbish_bytes: int) -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = without_length(muxer.video_unit(frame(900), 0, 0, key_frame=False))
    rubbish = random.Random(rubbish_bytes).randbytes(rubbish_bytes).replace(b"G", b"g")
    assert units(demuxer.feed(packets[: 2 * PACKET + 60] + rubbish, 1)) == []
    assert units(demuxer.settle()) == []
    later = demuxer.feed(muxer.video_unit(frame(901), 3000, 3000, key_frame=False), 2)
    assert [(unit.data, unit.gap) for unit in units(later)] == [(frame(901), True)]


def test_silence_in_the_middle_is_learned_from() -> None:
    """A sender that pauses between packets: one frame suffers, then silence means nothing any more."""
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = without_length(muxer.video_unit(frame(900), 0, 0, key_frame=False))
    demuxer.feed(packets[: 2 * PACKET], 1)
    (cut,) = units(demuxer.settle())
    assert frame(900).startswith(cut.data)
    assert units(demuxer.feed(packets[2 * PACKET :], 2)) == []
    assert demuxer.early_end_mistakes == 1
    second = without_length(muxer.video_unit(frame(901), 3000, 3000, key_frame=False))
    demuxer.feed(second[: 2 * PACKET], 3)
    assert not demuxer.may_be_whole
    (unit,) = units(demuxer.feed(second[2 * PACKET :], 4))
    assert unit.data == frame(901)


def test_what_is_too_large_for_a_length_ends_in_a_stuffed_packet() -> None:
    """So that a reader like ours need not wait for the next frame; with plain packing one in 184 would be full."""
    for size in range(70_000, 70_185):
        muxer = TsMuxer()
        demuxer = started(muxer)
        (unit,) = units(demuxer.feed(muxer.video_unit(frame(size), 0, 0, key_frame=True), 1))
        assert len(unit.data) == size


def test_stuffing_in_the_middle_is_learned_from() -> None:
    """A stream whose muxer pads before the end: one frame suffers, then we wait for the next start."""
    muxer = TsMuxer()
    demuxer = started(muxer)
    whole = [without_length(muxer.video_unit(frame(900, n), n, n, key_frame=False)) for n in range(4)]
    padded = [pad_second_packet(packets) for packets in whole]
    padded = renumber(padded)
    got = units(demuxer.feed(b"".join(padded), 0)) + units(demuxer.flush())
    assert demuxer.early_end_mistakes == 1
    assert [unit.data for unit in got[1:]] == [frame(900, n) for n in range(1, 4)]
    assert frame(900, 0).startswith(got[0].data)


def pad_second_packet(packets: bytes) -> bytes:
    """Split the second packet's payload over two packets, the first of them stuffed."""
    first, second, rest = packets[:PACKET], packets[PACKET : 2 * PACKET], packets[2 * PACKET :]
    header, payload = second[:4], second[4:]
    assert not second[3] & 0x20
    halves = payload[:100], payload[100:]
    out = b""
    for half in halves:
        room = 184 - len(half)
        field = bytes((room - 1, 0)) + b"\xff" * (room - 2)
        out += bytes((header[0], header[1], header[2], header[3] | 0x20)) + field + half
    return first + out + rest


def renumber(pieces: list[bytes]) -> list[bytes]:
    """Continuity counters of one PID in order, from 0."""
    count, out = 0, []
    for piece in pieces:
        fixed = b""
        for packet in ts_packets(piece):
            fixed += packet[:3] + bytes((packet[3] & 0xF0 | count % 16,)) + packet[4:]
            count += 1
        out.append(fixed)
    return out


def test_audio_does_not_disturb_video() -> None:
    muxer = TsMuxer(AudioTrack("opus", 2))
    demuxer = started(muxer)
    video = muxer.video_unit(frame(2000), 9000, 9000, key_frame=True)
    audio = muxer.audio_unit(b"opus packet", 8000)
    mixed = video[: 3 * PACKET] + audio + video[3 * PACKET :]
    got = units(demuxer.feed(mixed, 0))
    assert [unit.stream.codec for unit in got] == ["opus", "h264"]
    assert got[1].data == frame(2000)
    assert got[0].pts == 8000


def test_the_tables_say_what_is_in_it() -> None:
    (program,) = TsDemuxer().feed(TsMuxer(AudioTrack("opus", 1)).tables(), 0)
    assert isinstance(program, Program)
    assert program.video is not None
    assert program.audio is not None
    assert (program.video.codec, program.video.pid) == ("h264", VIDEO_PID)
    assert (program.audio.codec, program.audio.channels, program.audio.pid) == ("opus", 1, AUDIO_PID)


def test_a_late_audio_track_is_a_new_version_of_the_tables() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    assert demuxer.feed(muxer.tables(), 0) == []
    muxer.set_audio(AudioTrack("aac"))
    (program,) = demuxer.feed(muxer.tables(), 0)
    assert isinstance(program, Program)
    assert program.audio is not None
    assert program.audio.codec == "aac"


def test_continuity_counters_run_over_everything_that_a_muxer_writes() -> None:
    muxer = TsMuxer(AudioTrack("opus", 2))
    data = b""
    for index in range(40):
        data += muxer.tables() if index % 7 == 0 else b""
        data += muxer.video_unit(frame(150 + 97 * index), index, index, key_frame=index % 7 == 0)
        data += muxer.audio_unit(b"x" * (index * 20 + 1), index)
    assert continuity_errors(data) == []


def test_the_clock_rises_and_stays_before_the_decoding_time() -> None:
    muxer = TsMuxer()
    stamps = [100_000 + 3000 * index for index in range(10)]
    data = b"".join(muxer.video_unit(frame(400), pts, pts, key_frame=False) for pts in stamps)
    assert pcr_ticks(data) == [pts - PCR_LEAD_TICKS for pts in stamps]


def test_the_clock_wraps_with_the_time_stamps() -> None:
    data = TsMuxer().video_unit(frame(400), WRAP + 10, WRAP + 10, key_frame=False)
    assert pcr_ticks(data) == [WRAP + 10 - PCR_LEAD_TICKS]
    demuxer = started(TsMuxer())
    (unit,) = units(demuxer.feed(data, 0))
    assert unit.pts == 10


def test_a_jump_is_marked_in_the_packets() -> None:
    data = TsMuxer().video_unit(frame(400), 0, 0, key_frame=True, discontinuity=True)
    assert next(ts_packets(data))[5] & 0x80


@pytest.mark.parametrize("piece", [1, 7, 187, 188, 189, 1000])
def test_pieces_of_any_size(piece: int) -> None:
    muxer = TsMuxer()
    data = muxer.tables() + b"".join(
        muxer.video_unit(frame(700, n), n * 3000, n * 3000, key_frame=False) for n in range(5)
    )
    demuxer, got = TsDemuxer(), []
    for at in range(0, len(data), piece):
        got += units(demuxer.feed(data[at : at + piece], 0))
    assert [unit.data for unit in got] == [frame(700, n) for n in range(5)]
    assert demuxer.packets == len(data) // PACKET


def test_rubbish_between_packets_costs_only_what_it_hits() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    parts = [muxer.video_unit(frame(700, n), n, n, key_frame=False) for n in range(4)]
    data = parts[0] + parts[1][:300] + b"\x47rubbish" + parts[2] + parts[3]
    got = units(demuxer.feed(data, 0))
    assert [unit.data for unit in got] == [frame(700, n) for n in (0, 2, 3)]
    assert demuxer.resyncs == 1


def test_a_lost_packet_drops_its_frame_only() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    parts = [without_length(muxer.video_unit(frame(900, n), n, n, key_frame=False)) for n in range(3)]
    damaged = parts[1][: 2 * PACKET] + parts[1][3 * PACKET :]
    got = units(demuxer.feed(parts[0] + damaged + parts[2], 0))
    assert [unit.data for unit in got] == [frame(900, 0), frame(900, 2)]
    assert demuxer.lost_packets == 1


def test_a_repeated_packet_is_taken_once() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = muxer.video_unit(frame(900), 0, 0, key_frame=False)
    doubled = packets[: 2 * PACKET] + packets[PACKET : 2 * PACKET] + packets[2 * PACKET :]
    (unit,) = units(demuxer.feed(doubled, 0))
    assert unit.data == frame(900)
    assert demuxer.lost_packets == 0


def test_counters_that_begin_anew_with_a_segment_lose_nothing() -> None:
    """FFmpeg's segment muxer starts every file at 0."""
    demuxer, got = TsDemuxer(), []
    for number in range(3):
        muxer = TsMuxer()
        data = muxer.tables() + without_length(muxer.video_unit(frame(900, number), 0, 0, key_frame=True))
        got += units(demuxer.feed(data, 0))
    assert [unit.data for unit in got] == [frame(900, number) for number in range(3)]


def test_after_a_gap_half_a_frame_is_forgotten() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    first = muxer.video_unit(frame(900, 1), 0, 0, key_frame=False)
    second = muxer.video_unit(frame(900, 2), 0, 0, key_frame=False)
    demuxer.feed(first[:400], 0)
    demuxer.reset()
    got = units(demuxer.feed(first[700:] + second, 0))
    assert [unit.data for unit in got] == [frame(900, 2)]


def test_the_end_gives_what_cannot_be_known_to_be_cut_short() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    packets = without_length(muxer.video_unit(frame(900), 0, 0, key_frame=False))
    assert units(demuxer.feed(packets[: 3 * PACKET], 0)) == []
    (unit,) = units(demuxer.flush())
    assert frame(900).startswith(unit.data)


def test_a_frame_with_a_length_that_is_not_reached_is_not_given() -> None:
    muxer = TsMuxer()
    demuxer = started(muxer)
    demuxer.feed(muxer.video_unit(frame(900), 0, 0, key_frame=False)[: 3 * PACKET], 0)
    assert demuxer.flush() == []
    assert demuxer.broken_units == 1


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), damage=st.integers(1, 60))
def test_no_bytes_can_raise(seed: int, damage: int) -> None:
    """Flipped bytes in clean packets: whatever comes out, nothing raises, and later frames are whole."""
    rng = random.Random(seed)
    muxer = TsMuxer(AudioTrack("opus", 2))
    data = bytearray()
    for number in range(6):
        data += muxer.tables() + muxer.video_unit(frame(500, number), number, number, key_frame=True)
        data += muxer.audio_unit(b"a" * 50, number)
    for _ in range(damage):
        data[rng.randrange(len(data))] = rng.randrange(256)
    demuxer = TsDemuxer()
    demuxer.feed(bytes(data), 0)
    clean = b"".join(
        muxer.tables() + muxer.video_unit(frame(500, number), number, number, key_frame=True)
        for number in (6, 7, 8)
    )
    got = [unit.data for unit in units(demuxer.feed(clean, 0)) if unit.stream.codec == "h264"]
    assert frame(500, 8) in got


def test_video_packets_use_one_pid() -> None:
    packets = TsMuxer().video_unit(frame(900), 0, 0, key_frame=False)
    assert {packet_pid(packet) for packet in ts_packets(packets)} == {VIDEO_PID}
