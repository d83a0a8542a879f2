"""The two ends of a stream. Sources and sinks are symmetrical: trickle, file or URL, browser, test clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..media import AudioPacket, MediaInfo, Picture
from ..supervisor import Stamps

Pixels = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Feed:
    """Where a source puts its media. All are called on one thread of the source's own, `on_end` last and once."""

    on_info: Callable[[MediaInfo], None]
    on_video: Callable[[Picture], None]
    on_audio: Callable[[AudioPacket], None]
    on_end: Callable[[Exception | None], None]


class Source(Protocol):
    """Where a stream's media comes from."""

    def start(self, feed: Feed) -> None:
        """Begin; returns at once. Called on the event loop."""

    async def aclose(self) -> None:
        """Stop within a few seconds; `feed` is not called after this returns."""

    def status(self) -> dict[str, Any]:
        """Return counters for people."""


class Sink(Protocol):
    """Where a stream's media goes."""

    def start(self, on_sent: Callable[[Stamps], None]) -> None:
        """Get ready; returns at once. Called on the event loop, before anything else.

        :param on_sent: called from any thread when a picture's bytes are on their way, with the stamps it came with
        """

    def begin(self, width: int, height: int, info: MediaInfo) -> None:
        """Say what will come: the pictures' size and the input's tracks. Any thread, before the first picture."""

    def submit(
        self, pixels: Pixels, pts: int, time_base: Fraction, stamps: Stamps | None, done: Callable[[], None]
    ) -> None:
        """Take one picture. Any thread; never blocks a live stream.

        :param stamps: given back to `on_sent`; None for a waiting picture, which is not measured
        :param done: called exactly once, as soon as the memory of `pixels` may be used again
        """

    def submit_audio(self, packet: AudioPacket) -> None:
        """Take one audio packet of the input. Any thread."""

    async def aclose(self) -> None:
        """Send what is waiting, then close, within a few seconds."""

    def status(self) -> dict[str, Any]:
        """Return counters for people."""
