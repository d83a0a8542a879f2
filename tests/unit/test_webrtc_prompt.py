"""What reaches into aiortc does what it is for, with the version that is installed."""

from __future__ import annotations

import random

import pytest

aiortc = pytest.importorskip("aiortc", reason="WebRTC is optional")
from aiortc import RTCRtpReceiver, RTCRtpSender  # noqa: E402
from aiortc.jitterbuffer import JitterBuffer  # noqa: E402
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport  # noqa: E402
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport  # noqa: E402
from aiortc.rtp import RtpPacket  # noqa: E402

from ai_runner_base.webrtc import _prompt  # noqa: E402

pytestmark = pytest.mark.unit


def _packets(*sizes: int, first: int = 65_530) -> list[RtpPacket]:
    """Frames of so many packets each, across the wrap of the sequence numbers."""
    packets = []
    for frame, size in enumerate(sizes):
        for part in range(size):
            packet = RtpPacket(sequence_number=(first + len(packets)) % 65_536, timestamp=1000 + 3000 * frame)
            packet.marker = int(part == size - 1)
            packet._data = f"{frame}.{part} ".encode()
            packets.append(packet)
    return packets


def _feed(buffer: JitterBuffer, packets: list[RtpPacket]) -> list[str]:
    frames = (buffer.add(packet)[1] for packet in packets)
    return [frame.data.decode().strip() if frame else "" for frame in frames]


def test_a_frame_is_given_with_its_last_packet_and_not_with_the_next_frame() -> None:
    mine = _feed(_prompt.MarkerJitterBuffer(16, is_video=True), _packets(2, 1, 3))
    stock = _feed(JitterBuffer(16, is_video=True), _packets(2, 1, 3))
    assert mine == ["", "0.0 0.1", "1.0", "", "", "2.0 2.1 2.2"]
    assert stock == ["", "", "0.0 0.1", "1.0", "", ""]


def test_packets_out_of_order_give_the_same_frames() -> None:
    packets = _packets(4, 4, 4, 4)
    order = packets[:1] + random.Random(1).sample(packets[1:], len(packets) - 1)
    given = [frame for frame in _feed(_prompt.MarkerJitterBuffer(64, is_video=True), order) if frame]
    assert given == [f"{n}.0 {n}.1 {n}.2 {n}.3" for n in range(len(given))]
    assert given


def test_a_lost_marker_does_not_join_two_frames() -> None:
    packets = _packets(2, 2)
    packets[1].marker = 0
    assert _feed(_prompt.MarkerJitterBuffer(16, is_video=True), packets) == ["", "", "0.0 0.1", "1.0 1.1"]


async def test_both_hooks_fit_the_installed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aiortc.__version__ in _prompt.TESTED_VERSIONS
    transport = RTCDtlsTransport(RTCIceTransport(RTCIceGatherer([])), [RTCCertificate.generateCertificate()])
    receiver, sender, asked = RTCRtpReceiver("video", transport), RTCRtpSender("video", transport), []
    assert _prompt.release_on_marker(receiver)
    assert isinstance(receiver._RTCRtpReceiver__jitter_buffer, _prompt.MarkerJitterBuffer)
    assert _prompt.on_key_frame_wanted(sender, lambda: asked.append(1))
    sender._send_keyframe()
    assert asked == [1]
    monkeypatch.setattr(aiortc, "__version__", "99.0")
    assert not _prompt.release_on_marker(RTCRtpReceiver("video", transport))
    assert not _prompt.on_key_frame_wanted(RTCRtpSender("video", transport), lambda: None)
