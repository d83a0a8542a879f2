"""An MPEG-TS demuxer that gives a frame when its last packet is in, not when the next frame begins.

Why it is ours: docs/decisions/0004-live-demux.md. No I/O and no clock inside.

The end of a video PES is not written anywhere (its length field is 0), so a demuxer can only be sure when the
next one starts. But a muxer fills the last packet of a PES with stuffing, and no other, so a stuffed packet
ends it. One frame in 184 fills its last packet without stuffing: who feeds us live bytes may end it when nothing
more comes (`TsDemuxer.settle`). A stream that breaks either rule is noticed by the packet that follows; from then on
that rule is not followed any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from ai_runner_base.media._ts import (
    PACKET_BYTES,
    PAT_PID,
    SYNC,
    ElementaryStream,
    crc32,
    read_program_association,
    read_program_map,
    read_timestamp,
)

MAX_PES_BYTES = 16 << 20
MAX_SECTION_BYTES = 4096
STUFFING, SILENCE = "stuffing", "silence"
"""By what the end of a frame was guessed."""


@dataclass(frozen=True, slots=True)
class Program:
    """The tracks were announced for the first time, or changed."""

    video: ElementaryStream | None
    audio: ElementaryStream | None
    streams: tuple[ElementaryStream, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """The payload of one PES packet.

    :param pts: 33 bits, 1/90000 s; None when the header has none
    :param dts: likewise; the PTS when the header has only that
    :param received_ns: when the last of its bytes arrived
    :param gap: packets of this track were lost since the unit before
    """

    stream: ElementaryStream
    data: bytes
    pts: int | None
    dts: int | None
    received_ns: int
    gap: bool = False


class _Track:
    """The PES packet that one PID is in the middle of."""

    def __init__(self, stream: ElementaryStream) -> None:
        self.stream = stream
        self.data = bytearray()
        self.open = False
        self.continuity = -1
        self.last_payload = b""
        self.ended_by = ""
        self.trusted = {STUFFING, SILENCE}
        self.received_ns = 0
        self.gap = False
        self.in_doubt = False
        """Rubbish came since the last packet; what follows shows whether something was lost for it."""

    @property
    def wanted_bytes(self) -> int:
        """The whole PES packet's size; 0 when its header does not tell."""
        length = self.data[4] << 8 | self.data[5] if len(self.data) >= 6 else 0
        return length + 6 if length else 0

    def drop(self) -> None:
        self.data = bytearray()
        self.open = False
        self.ended_by = ""

    def take(self) -> Unit | None:
        """Close the PES packet and give what was in it; None when its header is broken."""
        data, wanted = bytes(self.data), self.wanted_bytes
        self.drop()
        if len(data) < 9 or data[:3] != b"\x00\x00\x01" or len(data) < wanted:
            return None
        start = 9 + data[8]
        has_pts, has_dts = data[7] & 0x80 and data[8] >= 5, data[7] & 0x40 and data[8] >= 10
        if len(data) <= start:
            return None
        pts = read_timestamp(data, 9) if has_pts else None
        dts = read_timestamp(data, 14) if has_dts else pts
        gap, self.gap = self.gap, False
        return Unit(self.stream, data[start : wanted or None], pts, dts, self.received_ns, gap)


class TsDemuxer:
    """Bytes in, programs and access units out.

    :ivar packets: TS packets seen; 0 means that the input is something else
    :ivar first_bytes: the first 16 bytes, for messages
    """

    def __init__(self) -> None:
        self.packets = 0
        self.first_bytes = b""
        self.lost_packets = 0
        self.broken_units = 0
        self.resyncs = 0
        self.early_end_mistakes = 0
        self._rest = b""
        self._synced = False
        self._map_pid = -1
        self._sections: dict[int, bytearray] = {}
        self._map = b""
        self._tracks: dict[int, _Track] = {}
        self._out: list[Program | Unit] = []

    def feed(self, data: bytes, received_ns: int) -> list[Program | Unit]:
        """Everything that these bytes complete, in stream order."""
        if len(self.first_bytes) < 16:
            self.first_bytes = (self.first_bytes + data)[:16]
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer) - PACKET_BYTES
        while at <= end:
            if not self._synced or not _is_packet(buffer, at):
                at = self._find_packet(buffer, at)
                if not self._synced:
                    break
                continue
            self._packet(buffer, at, received_ns)
            at += PACKET_BYTES
        self._rest = buffer[at:]
        return self._give()

    @property
    def may_be_whole(self) -> bool:
        """Whether all that is missing of a frame may be the certainty that it ends here."""
        return not self._rest and any(map(_may_end_here, self._tracks.values()))

    def settle(self) -> list[Program | Unit]:
        """Nothing more came for a while: give the frames that may be whole, as if they were."""
        if self.may_be_whole:
            for track in filter(_may_end_here, self._tracks.values()):
                self._emit(track)
                track.ended_by = SILENCE
        return self._give()

    def flush(self) -> list[Program | Unit]:
        """At the end of the input: what is still open and not visibly cut short."""
        for track in self._tracks.values():
            if track.open:
                self._emit(track)
        return self._give()

    def reset(self) -> None:
        """After a gap: forget half packets; the program is still known."""
        self._rest = b""
        self._synced = False
        self._sections.clear()
        for track in self._tracks.values():
            track.drop()
            track.continuity = -1

    def _give(self) -> list[Program | Unit]:
        out, self._out = self._out, []
        return out

    def _find_packet(self, buffer: bytes, at: int) -> int:
        """Where two sync bytes in a row stand one packet apart, else where to look again with more bytes."""
        if self._synced:
            self.resyncs += 1
            for track in self._tracks.values():
                track.in_doubt = True
        self._synced = False
        while (at := buffer.find(SYNC, at)) >= 0:
            if at + PACKET_BYTES >= len(buffer):
                return at
            if _is_packet(buffer, at):
                self._synced = True
                return at
            at += 1
        return len(buffer)

    def _packet(self, buffer: bytes, at: int, received_ns: int) -> None:
        self.packets += 1
        pid = (buffer[at + 1] & 0x1F) << 8 | buffer[at + 2]
        track = self._tracks.get(pid)
        if track is None and pid != PAT_PID and pid != self._map_pid:
            return
        flags, start, stuffed = buffer[at + 3], at + 4, False
        if flags & 0x20:
            if track is not None and buffer[at + 4] and buffer[at + 5] & 0x80:
                track.continuity = -1
            stuffed = _is_stuffed(buffer, at + 4)
            start += 1 + buffer[at + 4]
        end = at + PACKET_BYTES
        if not flags & 0x10 or start >= end or buffer[at + 1] & 0x80 or flags & 0xC0:
            return  # no payload, damaged on the way, or scrambled
        payload, first = buffer[start:end], bool(buffer[at + 1] & 0x40)
        if track is None:
            self._section(pid, payload, first)
        elif self._in_order(track, flags & 0x0F, payload, first):
            track.received_ns = received_ns
            self._payload(track, payload, first, stuffed)

    def _in_order(self, track: _Track, continuity: int, payload: bytes, first: bool) -> bool:
        """Check the continuity counter; False for a packet that is a repetition."""
        last, track.continuity = track.continuity, continuity
        in_doubt, track.in_doubt = track.in_doubt, False
        if in_doubt and first and track.open:
            track.gap = True
            track.drop()  # the counter may fit by chance
        if last >= 0 and continuity != (last + 1) & 0x0F:
            if continuity == last and payload == track.last_payload:
                return False
            self.lost_packets += 1
            track.gap = True
            track.drop()  # its middle is missing, or its end
        track.last_payload = payload
        return True

    def _payload(self, track: _Track, payload: bytes, first: bool, stuffed: bool) -> None:
        if first:
            if track.open:
                self._emit(track)
            track.open, track.ended_by = True, ""
        elif not track.open:
            if track.ended_by:
                track.trusted.discard(track.ended_by)
                track.ended_by = ""
                self.early_end_mistakes += 1
            return
        track.data += payload
        wanted = track.wanted_bytes
        if wanted and len(track.data) >= wanted:
            self._emit(track)
        elif stuffed and not wanted and STUFFING in track.trusted:
            self._emit(track)
            track.ended_by = STUFFING
        elif len(track.data) > MAX_PES_BYTES:
            self.broken_units += 1
            track.drop()

    def _emit(self, track: _Track) -> None:
        unit = track.take()
        if unit is None:
            self.broken_units += 1
        else:
            self._out.append(unit)

    def _section(self, pid: int, payload: bytes, first: bool) -> None:
        if first:
            pointer = payload[0]
            self._sections[pid] = bytearray(payload[1 + pointer :])
        elif pid in self._sections:
            self._sections[pid] += payload
        else:
            return
        data = self._sections[pid]
        size = 3 + ((data[1] & 0x0F) << 8 | data[2]) if len(data) >= 3 else MAX_SECTION_BYTES
        if len(data) < size:
            return
        section = bytes(self._sections.pop(pid)[:size])
        if size >= 16 and crc32(section) == 0:
            self._table(pid, section)

    def _table(self, pid: int, section: bytes) -> None:
        if pid == PAT_PID and section[0] == 0:
            self._map_pid = read_program_association(section) or self._map_pid
        elif pid == self._map_pid and section[0] == 2 and section != self._map:
            self._map = section
            self._choose(read_program_map(section))

    def _choose(self, streams: list[ElementaryStream]) -> None:
        """Take the first video and the first audio track; a track that stays keeps its state.

        But not its place in the count of packets: other tables may come from another muxer.
        """
        video = next((stream for stream in streams if stream.is_video), None)
        audio = next((stream for stream in streams if stream.codec and not stream.is_video), None)
        chosen = [stream for stream in (video, audio) if stream]
        old = self._tracks
        self._tracks = {
            stream.pid: old[stream.pid]
            if stream.pid in old and old[stream.pid].stream == stream
            else _Track(stream)
            for stream in chosen
        }
        for track in self._tracks.values():
            track.continuity = -1
        self._out.append(Program(video, audio, tuple(streams)))


def _may_end_here(track: _Track) -> bool:
    """Whether silence may mean that the frame is whole; where rubbish follows a packet, more of it has been lost."""
    return track.open and not track.in_doubt and not track.wanted_bytes and SILENCE in track.trusted


def _is_packet(buffer: bytes, at: int) -> bool:
    """Whether a packet begins here and, where that can be seen, the next one right behind it.

    A sender that breaks off in the middle of a packet must not cost us the first packet of what it sends next.
    """
    after = at + PACKET_BYTES
    return buffer[at] == SYNC and (after >= len(buffer) or buffer[after] == SYNC)


def _is_stuffed(buffer: bytes, at: int) -> bool:
    """Whether an adaptation field is there to fill the packet: it holds more than its flags account for."""
    length = buffer[at]
    if length == 0 or buffer[at + 1] == 0:
        return True
    flags = buffer[at + 1]
    used = 1 + 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)
    for flag in (0x02, 0x01):  # private data, extension: each begins with its length
        if flags & flag and used < length:
            used += 1 + buffer[at + 1 + used]
    return length > used
