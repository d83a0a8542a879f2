"""What can be read off coded data without decoding it: key frames, ADTS headers, Opus packets in MPEG-TS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

H264_VCL, H264_IDR, H264_SPS = (1, 2, 3, 4, 5), 5, 7
HEVC_FIRST_NON_VCL, HEVC_IRAP, HEVC_PARAMETER_SETS = 32, range(16, 24), (32, 33)
OPUS_SAMPLE_RATE = 48_000
ADTS_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_SILK_MS, _HYBRID_MS, _CELT_MS = (10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20)


def can_start_decoding(codec: str, data: bytes) -> bool:
    """Whether a decoder that knows nothing can begin at this access unit (Annex B)."""
    if codec == "h264":
        return _starts_h264(data)
    if codec == "hevc":
        return _starts_hevc(data)
    return True


def _starts_h264(data: bytes) -> bool:
    for header in _nal_headers(data):
        kind = header & 0x1F
        if kind in (H264_IDR, H264_SPS):
            return True
        if kind in H264_VCL:
            return False
    return False


def _starts_hevc(data: bytes) -> bool:
    for header in _nal_headers(data):
        kind = (header >> 1) & 0x3F
        if kind in HEVC_IRAP or kind in HEVC_PARAMETER_SETS:
            return True
        if kind < HEVC_FIRST_NON_VCL:
            return False
    return False


def nal_kinds(data: bytes) -> list[int]:
    """The types of the H.264 NAL units in an access unit, in order."""
    return [header & 0x1F for header in _nal_headers(data)]


def _nal_headers(data: bytes) -> Iterator[int]:
    at = 0
    while 0 <= (at := data.find(b"\x00\x00\x01", at)) < len(data) - 3:
        yield data[at + 3]
        at += 3


@dataclass(frozen=True, slots=True)
class AdtsHeader:
    """What the header of an AAC frame tells (ISO/IEC 13818-7)."""

    sample_rate: int
    channels: int
    frame_bytes: int


def read_adts(data: bytes) -> AdtsHeader | None:
    """The header at the start of the data, or None when there is none."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    rate_index = (data[2] >> 2) & 0x0F
    if rate_index >= len(ADTS_SAMPLE_RATES):
        return None
    channels = (data[2] & 1) << 2 | data[3] >> 6
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return AdtsHeader(ADTS_SAMPLE_RATES[rate_index], channels, size)


def adts_header(audio_specific_config: bytes, frame_bytes: int) -> bytes:
    """The seven bytes that make a raw AAC frame self-describing.

    :raises ValueError: the configuration does not fit into an ADTS header
    """
    if len(audio_specific_config) < 2:
        raise ValueError("AudioSpecificConfig is too short")
    value = audio_specific_config[0] << 8 | audio_specific_config[1]
    object_type, rate_index, channels = value >> 11, (value >> 7) & 0x0F, (value >> 3) & 0x0F
    if not 1 <= object_type <= 4 or rate_index >= len(ADTS_SAMPLE_RATES) or not 1 <= channels <= 7:
        raise ValueError(f"AudioSpecificConfig {audio_specific_config[:2].hex()} does not fit into ADTS")
    size = frame_bytes + 7
    return bytes(
        (
            0xFF,
            0xF1,
            (object_type - 1) << 6 | rate_index << 2 | channels >> 2,
            (channels & 3) << 6 | size >> 11,
            (size >> 3) & 0xFF,
            (size & 7) << 5 | 0x1F,
            0xFC,
        )
    )


def split_opus(data: bytes) -> Iterator[bytes]:
    """The Opus packets of an MPEG-TS access unit, without their control headers."""
    at = 0
    while at + 2 <= len(data) and data[at] == 0x7F and data[at + 1] & 0xE0 == 0xE0:
        flags = data[at + 1]
        at += 2
        size = 0
        while at < len(data):
            size += data[at]
            at += 1
            if data[at - 1] != 0xFF:
                break
        at += 2 * bool(flags & 0x10) + 2 * bool(flags & 0x08)
        if flags & 0x04 and at < len(data):
            at += 1 + data[at]
        if size and at + size <= len(data):
            yield data[at : at + size]
        at += size


def opus_control_header(packet_bytes: int) -> bytes:
    """What MPEG-TS puts in front of an Opus packet of this size."""
    full, rest = divmod(packet_bytes, 255)
    return b"\x7f\xe0" + b"\xff" * full + bytes((rest,))


def opus_samples(packet: bytes) -> int:
    """Duration of an Opus packet in samples at 48 kHz (RFC 6716 section 3); 0 for an empty one."""
    if not packet:
        return 0
    toc = packet[0]
    config, code = toc >> 3, toc & 3
    if config < 12:
        frame_ms: float = _SILK_MS[config & 3]
    elif config < 16:
        frame_ms = _HYBRID_MS[config & 1]
    else:
        frame_ms = _CELT_MS[config & 3]
    frames = 1 if code == 0 else 2 if code < 3 else (packet[1] & 0x3F if len(packet) > 1 else 0)
    return int(frames * frame_ms * OPUS_SAMPLE_RATE / 1000)
