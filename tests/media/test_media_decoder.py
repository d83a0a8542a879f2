"""`Decoder` on live MPEG-TS: every frame at once, in order, with the input's PTS."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from tests._support.media import (
    PACKET,
    SMALL,
    Receiver,
    decode_bytes,
    libav_pts,
    packet_pid,
    to_rgb,
    ts_clip,
    ts_packets,
)

from ai_runner_base.media import (
    BytePipe,
    ClipOptions,
    Decoder,
    DecoderOptions,
    Picture,
    encode_ts_clip,
    read_counter,
)
from ai_runner_base.media._ts_demux import TsDemuxer, Unit
from ai_runner_base.media._ts_mux import AudioTrack, TsMuxer

pytestmark = pytest.mark.media

VIDEO_PID = 0x100
WITH_SOUND = replace(SMALL, audio="libopus")


def frame_pieces(data: bytes) -> list[bytes]:
    """The stream cut behind the last packet of every video frame."""
    pieces, current, begun = [], b"", False
    for packet in ts_packets(data):
        starts = packet_pid(packet) == VIDEO_PID and bool(packet[1] & 0x40)
        if starts and begun:
            pieces.append(current)
            current = b""
        begun |= starts
        current += packet
    return [*pieces, current]


def last_packet_is_stuffed(piece: bytes) -> bool:
    video = [packet for packet in ts_packets(piece) if packet_pid(packet) == VIDEO_PID]
    return bool(video[-1][3] & 0x20)


@pytest.mark.parametrize(
    "options",
    [SMALL, replace(SMALL, bframes=3), WITH_SOUND, replace(SMALL, audio="aac", bframes=2)],
    ids=["plain", "b-frames", "opus", "aac and b-frames"],
)
def test_every_frame_comes_in_order_with_its_pts(options: ClipOptions) -> None:
    data = ts_clip(2, options)
    got = decode_bytes(data)
    assert got.error is None
    assert got.pts == libav_pts(data)
    assert [read_counter(to_rgb(picture, 256, 256)) for picture in got.pictures] == list(range(60))


def test_a_frame_is_delivered_without_a_byte_of_the_next() -> None:
    """By logic, not by the clock: the next piece is written only after the picture is here."""
    pieces = frame_pieces(ts_clip(2))
    assert len(pieces) == 60
    pipe = BytePipe()
    receiver = Receiver(pipe)
    receiver.decoder.start()
    waiting = 0
    for index, piece in enumerate(pieces):
        pipe.write(piece)
        # A frame that ends exactly with its packet has no visible end; it comes with the next one.
        waiting = 0 if last_packet_is_stuffed(piece) else 1
        receiver.wait_pictures(index + 1 - waiting)
    pipe.close()
    receiver.finish()
    assert len(receiver.pictures) == 60
    assert sum(last_packet_is_stuffed(piece) for piece in pieces) >= 55


def test_b_frames_come_as_soon_as_their_order_is_known() -> None:
    """The decoder holds what the stream's own reordering demands, and not one frame more."""
    pieces = frame_pieces(ts_clip(2, replace(SMALL, bframes=2)))
    pipe = BytePipe()
    receiver = Receiver(pipe)
    receiver.decoder.start()
    reordering = 2
    for index, piece in enumerate(pieces):
        pipe.write(piece)
        receiver.wait_pictures(index - reordering)
    pipe.close()
    assert receiver.finish().pts == sorted(receiver.pts)
    assert len(receiver.pts) == 60


def test_the_first_picture_needs_no_probing() -> None:
    first = frame_pieces(ts_clip(1, WITH_SOUND))[0]
    pipe = BytePipe()
    receiver = Receiver(pipe)
    receiver.decoder.start()
    pipe.write(first)
    receiver.wait_pictures(1)
    assert receiver.infos[0].audio is not None  # known before the first picture, from the program table
    assert receiver.infos[-1].video is not None
    assert (receiver.infos[-1].video.width, receiver.infos[-1].video.height) == (320, 240)
    assert receiver.decoder.stop()


def test_the_time_of_arrival_is_that_of_the_last_byte() -> None:
    (piece, *_) = frame_pieces(ts_clip(1))
    pipe = BytePipe()
    receiver = Receiver(pipe)
    receiver.decoder.start()
    pipe.write(piece[:-PACKET])
    between_ns = time.monotonic_ns()
    pipe.write(piece[-PACKET:])
    receiver.wait_pictures(1)
    picture = receiver.pictures[0]
    assert between_ns <= picture.received_ns <= picture.decoded_ns <= time.monotonic_ns()
    assert receiver.decoder.stop()


@pytest.mark.parametrize("audio", ["libopus", "aac", "mp2"])
def test_audio_packets_come_with_their_pts(audio: str) -> None:
    data = ts_clip(1, replace(SMALL, audio=audio))  # type: ignore[arg-type]  # a parametrised literal
    got = decode_bytes(data)
    assert got.audio
    assert got.decoder.counters.audio_packets == len(got.audio)
    steps = {b.pts - a.pts for a, b in zip(got.audio, got.audio[1:], strict=False)}
    assert min(steps) > 0
    assert abs(got.audio[0].pts - got.pts[0]) < 90_000 * 0.06
    info = got.infos[-1].audio
    assert info is not None
    assert info.codec == {"libopus": "opus", "aac": "aac", "mp2": "mp3"}[audio]


def test_the_parameters_of_aac_are_read_from_its_headers() -> None:
    info = decode_bytes(ts_clip(1, replace(SMALL, audio="aac"))).infos[-1].audio
    assert info is not None
    assert (info.sample_rate, info.channels) == (48_000, 1)


def test_late_audio_is_told_and_delivered() -> None:
    silent, loud = TsMuxer(), TsMuxer(AudioTrack("opus", 1))
    demuxer = TsDemuxer()
    parts = [item for item in demuxer.feed(ts_clip(1), 0) if isinstance(item, Unit)]
    data = silent.tables()
    for index, unit in enumerate(parts):
        assert unit.pts is not None
        muxer = silent if index < 15 else loud
        data += loud.tables() if index == 15 else b""
        data += muxer.video_unit(unit.data, unit.pts, unit.pts, key_frame=False)
        data += loud.audio_unit(b"\xfc\xff\xfe", unit.pts) if index >= 15 else b""
    got = decode_bytes(data)
    assert got.infos[0].audio is None
    assert got.infos[-1].audio is not None
    assert len(got.pictures) == 30
    assert len(got.audio) == len(parts) - 15


def test_a_wrap_of_the_clock_is_no_event() -> None:
    start = 2**33 - 90_000 * 61
    data = ts_clip(2, replace(SMALL, audio="libopus", start_pts=start + 60 * 90_000))
    later = decode_bytes(data)
    assert later.pts == sorted(later.pts)
    assert later.pts[0] % 2**33 == start + 60 * 90_000
    assert later.pts[-1] - later.pts[0] == 59 * 3000
    assert later.decoder.counters.discontinuities == 0


@pytest.mark.parametrize("second_start_s", [0, 1000], ids=["back", "ahead"])
def test_a_jump_of_the_timeline_is_marked_and_kept(second_start_s: int) -> None:
    first = ts_clip(1, replace(SMALL, start_pts=100 * 90_000))
    second = ts_clip(1, replace(SMALL, start_pts=second_start_s * 90_000))
    got = decode_bytes(first + second)
    assert got.pts == libav_pts(first) + libav_pts(second)
    marked = [index for index, picture in enumerate(got.pictures) if picture.discontinuity]
    assert marked == [30]
    assert got.decoder.counters.discontinuities == 1


def test_decoding_begins_at_a_key_frame() -> None:
    pieces = frame_pieces(ts_clip(2))
    tables = pieces[0][: 3 * PACKET]  # service description, PAT, PMT
    got = decode_bytes(tables + b"".join(pieces[10:]))
    assert got.decoder.counters.skipped_before_key_frame == 20
    assert got.pts == libav_pts(ts_clip(2))[30:]


def test_a_pipe_that_overflows_goes_on_at_the_next_key_frame() -> None:
    pieces = frame_pieces(ts_clip(4))
    release = threading.Event()
    pictures: list[Picture] = []

    def on_video(picture: Picture) -> None:
        pictures.append(picture)
        release.wait(20)

    pipe = BytePipe(sum(len(piece) for piece in pieces[:20]))
    ended = threading.Event()
    decoder = Decoder(pipe, on_video=on_video, on_end=lambda _: ended.set())
    decoder.start()
    for piece in pieces[:70]:
        pipe.write(piece)
    release.set()
    for piece in pieces[70:]:
        while pipe.waiting_bytes:
            time.sleep(0.001)
        pipe.write(piece)
    pipe.close()
    assert ended.wait(20)
    assert decoder.stop()
    assert decoder.counters.live_edge_skips >= 1
    marked = next(index for index, picture in enumerate(pictures) if picture.discontinuity)
    first = read_counter(to_rgb(pictures[marked], 256, 256))
    assert first in (60, 90)  # the first key frame behind the skip
    assert pictures[marked].key_frame
    assert [read_counter(to_rgb(p, 256, 256)) for p in pictures[marked:]] == list(range(first, 120))


def test_a_new_size_in_the_middle_of_the_stream() -> None:
    small, large = ts_clip(1), ts_clip(1, replace(SMALL, width=640, height=480, start_pts=90_000))
    got = decode_bytes(small + large)
    sizes = [(picture.width, picture.height) for picture in got.pictures]
    assert sizes == [(320, 240)] * 30 + [(640, 480)] * 30
    assert [read_counter(to_rgb(picture, 256, 256)) for picture in got.pictures] == [*range(30), *range(30)]
    told = [(info.video.width, info.video.height) for info in got.infos if info.video]
    assert told == [(0, 0), (320, 240), (640, 480)]


def test_another_program_in_the_middle_of_the_stream() -> None:
    """A sender that restarts with other PIDs: FFmpeg's demuxer through PyAV would never show them."""
    data = ts_clip(1)
    moved = b"".join(move_pid(packet) for packet in ts_packets(ts_clip(1, replace(SMALL, start_pts=90_000))))
    got = decode_bytes(data + moved)
    assert got.error is None
    assert len(got.pictures) == 60


def move_pid(packet: bytes) -> bytes:
    """Put a packet from PID 0x100 to 0x123, in the program map too."""
    from ai_runner_base.media._ts import crc32

    if packet_pid(packet) == VIDEO_PID:
        return packet[:1] + bytes((packet[1] & 0xE0 | 0x01, 0x23)) + packet[3:]
    if packet_pid(packet) == 0x1000:
        size = 3 + ((packet[6] & 0x0F) << 8 | packet[7])
        section = packet[5 : 5 + size - 4].replace(b"\xe1\x00", b"\xe1\x23")
        return packet[:5] + section + crc32(section).to_bytes(4) + packet[5 + size :]
    return packet


def test_stop_wakes_a_reader_that_waits_for_bytes() -> None:
    pipe = BytePipe()
    receiver = Receiver(pipe)
    receiver.decoder.start()
    pipe.write(frame_pieces(ts_clip(1))[0])
    receiver.wait_pictures(1)
    begin = time.monotonic()
    assert receiver.decoder.stop(5)
    assert time.monotonic() - begin < 4
    assert receiver.ends == 0  # nobody needs to be told who asked for it
    assert not pipe.write(b"nobody reads any more")


def test_stop_from_inside_a_callback() -> None:
    stopped = threading.Event()
    pipe = BytePipe()

    def on_video(_: Picture) -> None:
        decoder.stop()
        stopped.set()

    decoder = Decoder(pipe, on_video=on_video)
    decoder.start()
    pipe.write(ts_clip(1))
    assert stopped.wait(10)
    assert decoder.stop(10)
    assert decoder.counters.pictures == 1


def test_a_decoder_that_never_started_can_be_stopped() -> None:
    assert Decoder(BytePipe(), on_video=lambda _: None).stop(0.1)


def test_a_callback_that_raises_ends_the_stream_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[object] = []
    pipe = BytePipe()

    def on_video(_: Picture) -> None:
        raise ZeroDivisionError("ours")

    decoder = Decoder(pipe, on_video=on_video, on_end=ends.append)
    decoder.start()
    pipe.write(ts_clip(1))
    pipe.close()
    deadline = time.monotonic() + 10
    while not ends and time.monotonic() < deadline:
        time.sleep(0.005)
    assert decoder.stop(10)
    assert "ZeroDivisionError" in str(ends[0])
    assert "decode thread failed" in caplog.text


def test_frames_of_4k_fit_into_512() -> None:
    data = encode_ts_clip(0.2, ClipOptions(width=3840, height=2160, audio=None, preset="ultrafast"))
    got = decode_bytes(data, DecoderOptions())
    assert [read_counter(to_rgb(picture, 512, 512)) for picture in got.pictures] == list(range(6))
