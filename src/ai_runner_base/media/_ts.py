"""The MPEG-TS format (ISO/IEC 13818-1) as far as the demuxer and the muxer share it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PACKET_BYTES = 188
SYNC = 0x47
PAT_PID = 0
WRAP = 1 << 33

VIDEO_STREAM_TYPES = {
    0x01: "mpeg1video",
    0x02: "mpeg2video",
    0x10: "mpeg4",
    0x1B: "h264",
    0x24: "hevc",
}
AUDIO_STREAM_TYPES = {
    0x03: "mp3",  # MPEG-1 audio; the mp3 decoder takes layers I to III
    0x04: "mp3",
    0x0F: "aac",
    0x11: "aac_latm",
    0x81: "ac3",
    0x87: "eac3",
}
PRIVATE_STREAM_TYPE = 0x06
REGISTRATION_TAG = 0x05
EXTENSION_TAG = 0x7F
OPUS_EXTENSION_TAG = 0x80
REGISTERED_FORMATS = {b"Opus": "opus", b"AC-3": "ac3", b"EAC3": "eac3", b"HEVC": "hevc"}
DVB_AUDIO_TAGS = {0x6A: "ac3", 0x7A: "eac3"}


def _crc_table() -> tuple[int, ...]:
    table = []
    for index in range(256):
        value = index << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc32(data: bytes) -> int:
    """CRC-32/MPEG-2; 0 over a section together with its own checksum."""
    value = 0xFFFFFFFF
    for byte in data:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC_TABLE[(value >> 24) ^ byte]
    return value


def read_timestamp(data: bytes, at: int) -> int:
    """The 33-bit PTS or DTS in the five bytes at an offset of a PES header."""
    return (
        (data[at] & 0x0E) << 29
        | data[at + 1] << 22
        | (data[at + 2] & 0xFE) << 14
        | data[at + 3] << 7
        | data[at + 4] >> 1
    )


def write_timestamp(prefix: int, value: int) -> bytes:
    """Five bytes of a PES header.

    :param prefix: 2 for a PTS alone, 3 for a PTS before a DTS, 1 for that DTS
    :param value: in 1/90000 s; taken modulo 2**33
    """
    value %= WRAP
    return bytes(
        (
            prefix << 4 | (value >> 29) & 0x0E | 1,
            (value >> 22) & 0xFF,
            (value >> 14) & 0xFE | 1,
            (value >> 7) & 0xFF,
            (value << 1) & 0xFE | 1,
        )
    )


@dataclass(frozen=True, slots=True)
class ElementaryStream:
    """One entry of a program map.

    :param codec: FFmpeg's decoder name; empty when it is none that we know
    :param channels: of Opus, whose descriptor tells; 0 otherwise
    """

    pid: int
    stream_type: int
    codec: str
    channels: int = 0

    @property
    def is_video(self) -> bool:
        """Whether the codec is one of pictures."""
        return self.codec in VIDEO_STREAM_TYPES.values()


def read_program_association(section: bytes) -> int | None:
    """The PID of the first program's map, from a whole section with its checksum."""
    for at in range(8, len(section) - 4 - 3, 4):
        program = section[at] << 8 | section[at + 1]
        if program != 0:
            return (section[at + 2] & 0x1F) << 8 | section[at + 3]
    return None


def read_program_map(section: bytes) -> list[ElementaryStream]:
    """The entries of a program map, from a whole section with its checksum."""
    entries = []
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        stream_type = section[at]
        pid = (section[at + 1] & 0x1F) << 8 | section[at + 2]
        end = at + 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])
        entries.append(_elementary_stream(pid, stream_type, section[at + 5 : end]))
        at = end
    return entries


def _elementary_stream(pid: int, stream_type: int, descriptors: bytes) -> ElementaryStream:
    codec = VIDEO_STREAM_TYPES.get(stream_type) or AUDIO_STREAM_TYPES.get(stream_type) or ""
    channels = 0
    for tag, body in _descriptors(descriptors):
        if stream_type == PRIVATE_STREAM_TYPE and tag == REGISTRATION_TAG:
            codec = REGISTERED_FORMATS.get(body[:4], codec)
        elif stream_type == PRIVATE_STREAM_TYPE and tag in DVB_AUDIO_TAGS:
            codec = DVB_AUDIO_TAGS[tag]
        elif tag == EXTENSION_TAG and len(body) >= 2 and body[0] == OPUS_EXTENSION_TAG:
            channels = body[1] if 1 <= body[1] <= 8 else 2
    return ElementaryStream(pid, stream_type, codec, channels)


def _descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + data[at + 1]
        yield data[at], data[at + 2 : end]
        at = end
