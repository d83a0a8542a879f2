"""Network sources: at once, with reasons, and stoppable while nobody answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import pytest
from tests._support.media import Receiver, to_rgb, ts_clip

from ai_runner_base.errors import CallerError, HostError, PeerError
from ai_runner_base.media import DecoderOptions, read_counter
from ai_runner_base.media._libav_reader import is_live, is_ts_url, scheme

pytestmark = pytest.mark.media


@contextmanager
def tcp_server(data: bytes, *, hang: bool) -> Iterator[int]:
    """Sends these bytes to the first who connects; then says nothing more, or closes."""
    release = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(data)
                if hang:
                    release.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            release.set()
            thread.join(20)


def test_a_stream_over_tcp() -> None:
    with tcp_server(ts_clip(2), hang=False) as port:
        receiver = Receiver(f"tcp://127.0.0.1:{port}")
        receiver.decoder.start()
        receiver.finish()
    assert receiver.error is None
    assert [read_counter(to_rgb(p, 256, 256)) for p in receiver.pictures] == list(range(60))


def test_a_peer_that_falls_silent_is_an_error_of_the_peer() -> None:
    with tcp_server(ts_clip(2), hang=True) as port:
        receiver = Receiver(f"tcp://127.0.0.1:{port}", DecoderOptions(read_timeout_s=0.5))
        receiver.decoder.start()
        receiver.finish()
    assert isinstance(receiver.error, PeerError)
    assert "no answer in time" in receiver.error.message
    assert receiver.pictures


def test_a_peer_that_never_says_a_word() -> None:
    with tcp_server(b"", hang=True) as port:
        options = DecoderOptions(open_timeout_s=0.5)
        receiver = Receiver(f"tcp://127.0.0.1:{port}", options)
        receiver.decoder.start()
        receiver.finish()
    assert isinstance(receiver.error, PeerError)


def test_stop_does_not_wait_for_a_dead_peer() -> None:
    with tcp_server(ts_clip(2), hang=True) as port:
        receiver = Receiver(f"tcp://127.0.0.1:{port}", DecoderOptions(read_timeout_s=1.0))
        receiver.decoder.start()
        receiver.wait_pictures(30)
        begin = time.monotonic()
        receiver.decoder.stop(0.2)
        assert time.monotonic() - begin < 0.9
        count = len(receiver.pictures)
        assert receiver.decoder.stop(20)  # the thread leaves FFmpeg by itself
    assert len(receiver.pictures) == count
    assert receiver.ends == 0


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    receiver = Receiver(f"tcp://127.0.0.1:{port}")
    receiver.decoder.start()
    receiver.finish()
    assert isinstance(receiver.error, PeerError)
    assert "refused" in receiver.error.message


def test_a_protocol_that_this_ffmpeg_does_not_have() -> None:
    receiver = Receiver("gopherhole://example.invalid/clip")
    receiver.decoder.start()
    receiver.finish()
    assert isinstance(receiver.error, HostError)
    assert "gopherhole" in receiver.error.message


def test_udp_goes_through_our_own_demuxer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    receiver = Receiver(f"udp://127.0.0.1:{port}", DecoderOptions(read_timeout_s=1.0))
    receiver.decoder.start()
    data = ts_clip(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deadline = time.monotonic() + 20
        while not receiver.pictures and time.monotonic() < deadline:
            for at in range(0, len(data), 7 * 188):
                sender.sendto(data[at : at + 7 * 188], ("127.0.0.1", port))
                time.sleep(0.0005)
    receiver.finish()
    assert receiver.pictures
    assert receiver.infos[-1].container == "mpegts"
    assert isinstance(receiver.error, PeerError)  # the sender fell silent


@pytest.mark.parametrize(
    ("source", "live", "ts"),
    [
        ("clip.mp4", False, False),
        ("/a/b.ts", False, False),
        ("file:///a.ts", False, False),
        ("https://example.invalid/a.m3u8", False, False),
        ("RTSP://example.invalid/cam", True, False),
        ("rtmp://example.invalid/app/key", True, False),
        ("srt://example.invalid:9000", True, True),
        ("udp://127.0.0.1:1234", True, True),
    ],
)
def test_which_sources_are_live(source: str, live: bool, ts: bool) -> None:
    assert is_live(source, DecoderOptions()) is live
    assert is_ts_url(source) is ts
    assert is_live(source, DecoderOptions(live=True))


def test_schemes() -> None:
    assert scheme("SRT://host") == "srt"
    assert scheme("C:/clip.mp4") == ""


def test_something_else_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    receiver = Receiver(f"udp://127.0.0.1:{port}", DecoderOptions(read_timeout_s=5.0))
    receiver.decoder.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deadline = time.monotonic() + 20
        while receiver.ends == 0 and time.monotonic() < deadline:
            sender.sendto(b"hello " * 200, ("127.0.0.1", port))
            time.sleep(0.001)
    receiver.finish()
    assert isinstance(receiver.error, CallerError)
    assert "not MPEG-TS" in receiver.error.message


def test_pyav_is_one_that_we_know() -> None:
    assert int(av.__version__.split(".")[0]) >= 15
