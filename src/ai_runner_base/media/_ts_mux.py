"""An MPEG-TS muxer that gives a frame's packets at once and can begin a segment at any key frame.

Why it is ours: docs/decisions/0004-live-demux.md. No I/O and no clock inside.
"""

from __future__ import annotations

from dataclasses import dataclass

from ai_runner_base.media._bitstream import opus_control_header
from ai_runner_base.media._ts import (
    EXTENSION_TAG,
    OPUS_EXTENSION_TAG,
    PACKET_BYTES,
    PAT_PID,
    PRIVATE_STREAM_TYPE,
    REGISTRATION_TAG,
    SYNC,
    WRAP,
    crc32,
    write_timestamp,
)

MAP_PID, VIDEO_PID, AUDIO_PID = 0x1000, 0x0100, 0x0101
VIDEO_STREAM_ID, AUDIO_STREAM_ID, PRIVATE_STREAM_ID = 0xE0, 0xC0, 0xBD
PCR_LEAD_TICKS = 9_000
"""How far the clock (PCR) runs behind the decoding time: what players add as delay."""
ACCESS_UNIT_DELIMITER = b"\x00\x00\x00\x01\x09\xf0"
AUDIO_STREAM_TYPE_OF = {
    "aac": 0x0F,
    "mp3": 0x03,
    "mp2": 0x03,
    "ac3": 0x81,
    "eac3": 0x87,
    "opus": PRIVATE_STREAM_TYPE,
}
_BODY = PACKET_BYTES - 4
_DISCONTINUITY, _RANDOM_ACCESS, _HAS_PCR = 0x80, 0x40, 0x10


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The audio track as the program map describes it.

    :param codec: a key of `AUDIO_STREAM_TYPE_OF`
    :param channels: of Opus, which must say
    """

    codec: str
    channels: int = 2


class TsMuxer:
    """H.264 and at most one audio track to MPEG-TS packets.

    Continuity counters run on over everything that one muxer gives, so its segments can be joined again.
    """

    def __init__(self, audio: AudioTrack | None = None) -> None:
        self._audio = audio
        self._version = 0
        self._continuity: dict[int, int] = {}

    @property
    def audio(self) -> AudioTrack | None:
        """The audio track in the program map."""
        return self._audio

    def set_audio(self, audio: AudioTrack) -> None:
        """Announce another audio track; the next `tables` carry a new version."""
        if audio != self._audio:
            self._audio = audio
            self._version = (self._version + 1) % 32

    def tables(self) -> bytes:
        """PAT and PMT, one packet each: what a segment begins with."""
        association = _section(0, 1, self._version, (1).to_bytes(2) + (0xE000 | MAP_PID).to_bytes(2))
        program_map = _section(2, 1, self._version, self._program_map())
        return self._table(PAT_PID, association) + self._table(MAP_PID, program_map)

    def video_unit(
        self, data: bytes, pts: int, dts: int, *, key_frame: bool, discontinuity: bool = False
    ) -> bytes:
        """One H.264 access unit (Annex B).

        :param pts: in 1/90000 s; taken modulo 2**33, as is `dts`
        """
        if not data.startswith((ACCESS_UNIT_DELIMITER[:5], ACCESS_UNIT_DELIMITER[1:5])):
            data = ACCESS_UNIT_DELIMITER + data
        flags = _HAS_PCR | _RANDOM_ACCESS * key_frame | _DISCONTINUITY * discontinuity
        adaptation = bytes((flags,)) + _pcr(dts - PCR_LEAD_TICKS)
        pes = _pes(VIDEO_STREAM_ID, data, pts, dts)
        if not _has_length(pes) and (len(pes) + 1 + len(adaptation)) % _BODY == 0:
            pes = _pes(VIDEO_STREAM_ID, data, pts, dts, padding=1)  # so that stuffing shows where it ends
        return self._packets(VIDEO_PID, pes, adaptation)

    def audio_unit(self, data: bytes, pts: int) -> bytes:
        """One or more audio frames as the track's codec has them; Opus without its control header."""
        stream_id = AUDIO_STREAM_ID
        if self._audio is not None and self._audio.codec == "opus":
            data = opus_control_header(len(data)) + data
            stream_id = PRIVATE_STREAM_ID
        return self._packets(AUDIO_PID, _pes(stream_id, data, pts, pts), bytes((_RANDOM_ACCESS,)))

    def _program_map(self) -> bytes:
        body = (0xE000 | VIDEO_PID).to_bytes(2) + b"\xf0\x00"  # the video track carries the clock
        body += b"\x1b" + (0xE000 | VIDEO_PID).to_bytes(2) + b"\xf0\x00"
        if self._audio is not None:
            descriptors = b""
            if self._audio.codec == "opus":
                descriptors += bytes((REGISTRATION_TAG, 4)) + b"Opus"
                descriptors += bytes((EXTENSION_TAG, 2, OPUS_EXTENSION_TAG, self._audio.channels))
            body += bytes((AUDIO_STREAM_TYPE_OF[self._audio.codec],)) + (0xE000 | AUDIO_PID).to_bytes(2)
            body += (0xF000 | len(descriptors)).to_bytes(2) + descriptors
        return body

    def _table(self, pid: int, section: bytes) -> bytes:
        body = (b"\x00" + section).ljust(_BODY, b"\xff")
        return self._header(pid, first=True, adaptation=False) + body

    def _packets(self, pid: int, pes: bytes, adaptation: bytes) -> bytes:
        """A PES packet as TS packets: adaptation field in the first, stuffing only in the last."""
        out: list[bytes] = []
        at, end = 0, len(pes)
        while at < end:
            room = _BODY - (len(adaptation) + 1 if adaptation else 0)
            left = end - at
            field = _adaptation_field(adaptation, room - left) if left < room or adaptation else b""
            take = min(left, room)
            out += (self._header(pid, first=at == 0, adaptation=bool(field)), field, pes[at : at + take])
            at += take
            adaptation = b""
        return b"".join(out)

    def _header(self, pid: int, *, first: bool, adaptation: bool) -> bytes:
        counter = self._continuity[pid] = (self._continuity.get(pid, -1) + 1) & 0x0F
        control = 0x30 if adaptation else 0x10
        return bytes((SYNC, 0x40 * first | pid >> 8, pid & 0xFF, control | counter))


def _adaptation_field(content: bytes, stuffing: int) -> bytes:
    """The field with its length byte; `stuffing` bytes are missing to a full packet, that byte included."""
    if content:
        content += b"\xff" * max(0, stuffing)
    elif stuffing > 1:
        content = b"\x00" + b"\xff" * (stuffing - 2)
    return bytes((len(content),)) + content


def _section(table: int, identifier: int, version: int, body: bytes) -> bytes:
    head = identifier.to_bytes(2) + bytes((0xC1 | version << 1, 0, 0)) + body
    section = bytes((table,)) + (0xB000 | len(head) + 4).to_bytes(2) + head
    return section + crc32(section).to_bytes(4)


def _pcr(base: int) -> bytes:
    """Six bytes: 33 bits of 90 kHz, six reserved, nine of 27 MHz that we leave at 0."""
    return ((base % WRAP) << 15 | 0x7E00).to_bytes(6)


def _has_length(pes: bytes) -> bool:
    """Whether the header of a PES packet tells its size."""
    return pes[4:6] != b"\0\0"


def _pes(stream_id: int, data: bytes, pts: int, dts: int, padding: int = 0) -> bytes:
    """:param padding: bytes that the header is made longer by"""
    if pts == dts:
        stamps, flags = write_timestamp(2, pts), 0x80
    else:
        stamps, flags = write_timestamp(3, pts) + write_timestamp(1, dts), 0xC0
    stamps += b"\xff" * padding
    length = 3 + len(stamps) + len(data)
    # A length, where it fits, lets a reader finish the frame without seeing the next one.
    head = b"\x00\x00\x01" + bytes((stream_id,)) + (length if length <= 0xFFFF else 0).to_bytes(2)
    return head + bytes((0x84, flags, len(stamps))) + stamps + data
