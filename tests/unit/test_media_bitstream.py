"""What is read off coded data without a decoder, and the timeline rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.media._bitstream import (
    adts_header,
    can_start_decoding,
    nal_kinds,
    opus_control_header,
    opus_samples,
    read_adts,
    split_opus,
)
from ai_runner_base.media._timeline import Unroller, is_jump

pytestmark = pytest.mark.unit

START = b"\x00\x00\x00\x01"
AAC_LC_48K_STEREO = bytes.fromhex("1190")
S = 90_000


@pytest.mark.parametrize(
    ("codec", "data", "expected"),
    [
        ("h264", START + b"\x09\xf0" + START + b"\x67abc" + START + b"\x65abc", True),
        ("h264", START + b"\x65abc", True),
        ("h264", START + b"\x09\xf0" + START + b"\x41abc", False),
        ("h264", START + b"\x41abc" + START + b"\x67abc", False),
        ("h264", b"no start code", False),
        ("hevc", START + b"\x40\x01abc", True),
        ("hevc", START + b"\x26\x01abc", True),
        ("hevc", START + b"\x02\x01abc", False),
        ("mpeg2video", b"anything", True),
    ],
)
def test_where_decoding_can_begin(codec: str, data: bytes, expected: bool) -> None:
    assert can_start_decoding(codec, data) is expected


def test_nal_units_are_listed_in_order() -> None:
    assert nal_kinds(START + b"\x09\xf0" + START + b"\x67a" + b"\x00\x00\x01\x68b" + START + b"\x65c") == [
        9,
        7,
        8,
        5,
    ]


@given(sizes=st.lists(st.integers(1, 1275), max_size=5))
def test_opus_control_headers_frame_packets(sizes: list[int]) -> None:
    packets = [bytes((index,)) * size for index, size in enumerate(sizes)]
    data = b"".join(opus_control_header(len(packet)) + packet for packet in packets)
    assert list(split_opus(data)) == packets


def test_opus_trim_fields_are_stepped_over() -> None:
    assert list(split_opus(b"\x7f\xf8\x03" + b"\x01\x38\x00\x10" + b"abc")) == [b"abc"]


def test_an_opus_packet_cut_short_is_not_given() -> None:
    assert list(split_opus(opus_control_header(10) + b"short")) == []


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (b"\xfc", 960),  # CELT 20 ms, one frame
        (b"\xe0", 120),  # CELT 2.5 ms
        (b"\xfd", 1920),  # two frames
        (b"\xff\x03", 2880),  # three frames, counted
        (b"\x18", 2880),  # SILK 60 ms
        (b"\x68", 960),  # hybrid 20 ms
        (b"", 0),
    ],
)
def test_opus_durations(packet: bytes, samples: int) -> None:
    assert opus_samples(packet) == samples


@given(size=st.integers(0, 8184))
def test_adts_headers_read_back(size: int) -> None:
    header = read_adts(adts_header(AAC_LC_48K_STEREO, size))
    assert header is not None
    assert (header.sample_rate, header.channels, header.frame_bytes) == (48_000, 2, size + 7)


@pytest.mark.parametrize("config", [b"", b"\xf8\xe8", b"\x17\x90"])
def test_what_adts_cannot_say_is_refused(config: bytes) -> None:
    with pytest.raises(ValueError, match="AudioSpecificConfig"):
        adts_header(config, 100)


def test_other_data_has_no_adts_header() -> None:
    assert read_adts(b"\x21\x10\x04\x60\x8c\x1c\x00") is None


@given(start=st.integers(0, 2**33 - 1), steps=st.lists(st.integers(-S, 60 * S), max_size=30))
def test_time_stamps_are_unrolled_over_the_wrap(start: int, steps: list[int]) -> None:
    unroller, at = Unroller(), start
    first = unroller.unroll(start)
    for step in steps:
        at += step
        assert unroller.unroll(at % 2**33) - first == at - start


def test_a_start_just_below_the_wrap_is_negative() -> None:
    unroller = Unroller()
    assert unroller.unroll(2**33 - 600) == -600
    assert unroller.unroll(2400) == 2400


@pytest.mark.parametrize(
    ("step_s", "jump"), [(0.03, False), (-1.9, False), (-2.1, True), (9.9, False), (10.1, True)]
)
def test_what_counts_as_a_jump(step_s: float, jump: bool) -> None:
    assert is_jump(round(step_s * S)) is jump
