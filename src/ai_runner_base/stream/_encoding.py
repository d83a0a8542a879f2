"""The half of a sink that encodes: the same for all whose output is live H.264, whoever gets the bytes.

Whatever it encodes can also be watched (`output`), by any number, at no further cost.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from ..errors import RunnerError
from ..media import AudioPacket, Cut, LiveEncoder, LiveEncoderOptions, MediaInfo
from ..supervisor import Stamps
from ._ends import Pixels
from .output import Output

STOP_LIMIT_S = 2.0


class EncodingSink(abc.ABC):
    """Opens one encoder, for the size that the first pictures have.

    :param options: how to encode
    :param on_failed: called on the event loop, with the reason, when there will be no more output
    """

    def __init__(self, options: LiveEncoderOptions, on_failed: Callable[[str], None]) -> None:
        self.output = Output(self.request_key_frame)
        self._options, self._on_failed = options, on_failed
        self._loop = asyncio.get_running_loop()
        self._encoder: LiveEncoder | None = None
        self._on_sent: Callable[[Stamps], None] = lambda _: None

    def start(self, on_sent: Callable[[Stamps], None]) -> None:
        """Get ready."""
        self._on_sent = on_sent

    def begin(self, width: int, height: int, info: MediaInfo) -> None:
        """Open the encoder for pictures of this size and, when there is one, the audio track."""
        if self._encoder is None:
            self._encoder = LiveEncoder(
                width,
                height,
                on_bytes=self._spread,
                on_coded=self.output.take_frame,
                on_coded_audio=self.output.take_sound,
                on_end=self._on_end,
                audio=info.audio,
                options=self._options,
            )
            self._encoder.start()

    def submit(
        self, pixels: Pixels, pts: int, time_base: Fraction, stamps: Stamps | None, done: Callable[[], None]
    ) -> None:
        """Queue one picture; the encoder drops its oldest waiting one when it is behind."""
        if self._encoder is None:
            done()
        else:
            self._encoder.submit(pixels, pts, time_base, stamps, done)

    def submit_audio(self, packet: AudioPacket) -> None:
        """Queue one audio packet."""
        if self._encoder is not None:
            self._encoder.submit_audio(packet)

    def request_key_frame(self) -> None:
        """Begin a new segment with the next picture."""
        if self._encoder is not None:
            self._encoder.request_key_frame()

    async def _close_encoder(self) -> None:
        """Encode what waits; `_on_bytes` is not called any more after this. Then the watchers are told."""
        if self._encoder is not None:
            await asyncio.to_thread(self._encoder.close, STOP_LIMIT_S)
        self._loop.call_soon(self.output.close)

    def _encoder_status(self) -> dict[str, Any]:
        encoder = self._encoder
        running = {"encoder": encoder.encoded_by, **asdict(encoder.counters)} if encoder else {}
        return {"watchers": self.output.watchers, **running}

    def _spread(self, data: bytes, cut: Cut | None, stamps: Stamps | None) -> None:
        self.output.take_bytes(data, cut)
        self._on_bytes(data, cut, stamps)

    @abc.abstractmethod
    def _on_bytes(self, data: bytes, cut: Cut | None, stamps: Stamps | None) -> None:
        """Take MPEG-TS, on the encode thread: of a picture with its stamps, of audio without."""

    def _on_end(self, error: RunnerError | None) -> None:
        if error is not None:
            self._loop.call_soon_threadsafe(self._on_failed, f"output: {error}")
