"""What crosses the door of this room; none of it needs aiortc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server.

    :param url: such as ``stun:stun.example.org`` or ``turn:turn.example.org:3478?transport=udp``
    :param username: TURN only
    :param credential: TURN only
    """

    url: str
    username: str = ""
    credential: str = ""


@dataclass(frozen=True)
class PeerOptions:
    """How connections are made.

    :param ice_servers: none are needed on one machine or one network
    :param connect_limit_s: from the answer to the connection; a peer that takes longer is given up
    :param publisher_silence_s: a publisher that sends no packet for so long is gone
    :param viewer_silence_s: likewise a viewer, of whom reports are heard only
    """

    ice_servers: tuple[IceServer, ...] = ()
    connect_limit_s: float = 10.0
    publisher_silence_s: float = 3.5
    viewer_silence_s: float = 12.0


class Coded(Protocol):
    """One access unit of H.264 (Annex B); key frames carry SPS and PPS. `pts` is in 1/90000 s."""

    @property
    def data(self) -> bytes:
        """The access unit."""

    @property
    def pts(self) -> int:
        """Presentation time in 1/90000 s."""

    @property
    def key_frame(self) -> bool:
        """Whether a decoder may begin here."""


class Sound(Protocol):
    """One packet of Opus. `pts` is in 1/90000 s, on the pictures' timeline."""

    @property
    def data(self) -> bytes:
        """The packet."""

    @property
    def pts(self) -> int:
        """Presentation time in 1/90000 s."""


class FrameSource(Protocol):
    """Where a viewer gets its frames. Used on the event loop."""

    def subscribe(self, put: Callable[[Coded | None], None]) -> Callable[[], None]:
        """Call `put` on the event loop with each frame from now on, None at the end; return what stops that."""

    def request_key_frame(self) -> None:
        """Ask for a frame at which a decoder may begin."""

    def subscribe_sound(self, put: Callable[[Sound], None]) -> Callable[[], None]:
        """The same for packets of sound, whose end is not told."""
