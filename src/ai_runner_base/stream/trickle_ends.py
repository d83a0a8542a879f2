"""Trickle as the two ends of a stream: MPEG-TS segments in, MPEG-TS segments out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

from ..errors import PeerError, RunnerError
from ..media import BytePipe, Cut, Decoder, DecoderOptions, LiveEncoderOptions
from ..supervisor import Stamps
from ..trickle import ChannelReader, ChannelWriter, SegmentReader, SegmentWriter
from ._encoding import STOP_LIMIT_S, EncodingSink
from ._ends import Feed, Pixels

log = logging.getLogger(__name__)

FLUSH_LIMIT_S = 1.5
LATE_S = 0.5
"""How far decoding may be behind before it leaves pictures out; well above the jitter of a busy machine."""
AUDIO_WAIT_NS = 40_000_000
"""Longest wait of an audio packet for a frame to ride with, when the picture stalls."""
OUTPUT_BUFFER_BYTES = 8 << 20
"""What may wait for a slow channel: several seconds of video; beyond it, output skips to the next segment."""


_UNMEASURED = Stamps()
"""Of a waiting picture: bytes with stamps are a picture's, bytes without are audio."""


class TrickleSource:
    """Reads a channel into a decoder. The channel's end is the stream's end.

    :param on_first_segment: called on the event loop when the first segment has been read to its end
    :param options: of the decoder
    """

    def __init__(
        self,
        reader: ChannelReader,
        on_first_segment: Callable[[], None] = lambda: None,
        options: DecoderOptions | None = None,
    ) -> None:
        self._reader = reader
        self._on_first_segment = on_first_segment
        self._options = replace(options or DecoderOptions(), late_s=LATE_S)
        self._pipe = BytePipe()
        self._decoder: Decoder | None = None
        self._pump: asyncio.Task[None] | None = None
        self._segments = 0
        self._incomplete = 0
        self._failure: RunnerError | None = None

    def start(self, feed: Feed) -> None:
        """Begin reading and decoding."""
        self._decoder = Decoder(
            self._pipe,
            on_video=feed.on_video,
            on_audio=feed.on_audio,
            on_info=feed.on_info,
            on_end=lambda error: feed.on_end(self._failure or error),
            options=self._options,
        )
        self._decoder.start()
        self._pump = asyncio.create_task(self._read(), name="trickle source")

    async def _read(self) -> None:
        try:
            async for segment in self._reader:
                await self._read_segment(segment)
        except RunnerError as error:
            self._failure = error
        finally:
            self._pipe.close()

    async def _read_segment(self, segment: SegmentReader) -> None:
        async for chunk in segment:
            self._pipe.write(chunk)
        self._segments += 1
        self._incomplete += not segment.complete
        if self._segments == 1:
            self._on_first_segment()

    async def aclose(self) -> None:
        """Stop reading, then decoding."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        await self._reader.aclose()
        self._pipe.abort()
        if self._decoder is not None:
            await asyncio.to_thread(self._decoder.stop, STOP_LIMIT_S)

    def status(self) -> dict[str, Any]:
        """Return counters of the channel and the decoder."""
        decoder = asdict(self._decoder.counters) if self._decoder else {}
        return {
            "kind": "trickle",
            "decoder": self._decoder.decoded_by if self._decoder else "",
            "segments": self._segments,
            "incomplete_segments": self._incomplete,
            "retried": self._reader.retried,
            **decoder,
        }


class TrickleSink(EncodingSink):
    """Encodes pictures and writes them to a channel, one segment per GOP, frame by frame.

    :param on_first_bytes: called on the event loop when the first output bytes were written
    :param on_failed: called on the event loop when the channel is gone for good
    """

    def __init__(
        self,
        writer: ChannelWriter,
        *,
        options: LiveEncoderOptions,
        on_first_bytes: Callable[[], None] = lambda: None,
        on_failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(options, on_failed)
        self._writer, self._on_first_bytes = writer, on_first_bytes
        self._coming: deque[tuple[bytes, Cut | None]] = deque()
        self._woken_ns = 0
        self._waiting: deque[tuple[bytes, Cut | None]] = deque()
        self._waiting_bytes = 0
        self._skipping = False
        self._changed = asyncio.Event()
        self._finished = False
        self._skipped_bytes = 0
        self._skipped_segments = 0
        self._sent_bytes = 0
        self._pump: asyncio.Task[None] | None = None

    # --- encoder side -----------------------------------------------------------------------------------------------

    def start(self, on_sent: Callable[[Stamps], None]) -> None:
        """Begin to write; nothing is sent before the first picture."""
        super().start(on_sent)
        self._pump = asyncio.create_task(self._write(), name="trickle sink")

    def submit(
        self, pixels: Pixels, pts: int, time_base: Fraction, stamps: Stamps | None, done: Callable[[], None]
    ) -> None:
        """Queue one picture; a waiting picture's bytes are told from audio by having stamps at all."""
        super().submit(pixels, pts, time_base, stamps or _UNMEASURED, done)

    def _on_bytes(self, data: bytes, cut: Cut | None, stamps: Stamps | None) -> None:
        """Hand bytes to the event loop, on the encode thread.

        Audio (no stamps) rides with the next frame: waking the loop costs more than the packet itself.
        """
        self._coming.append((data, cut))
        now_ns = time.monotonic_ns()
        if stamps is not None:
            self._on_sent(stamps)
        elif now_ns - self._woken_ns < AUDIO_WAIT_NS:
            return
        self._woken_ns = now_ns
        self._loop.call_soon_threadsafe(self._take_over)

    # --- channel side, on the event loop ----------------------------------------------------------------------------

    def _take_over(self) -> None:
        while self._coming:
            self._enqueue(*self._coming.popleft())

    def _enqueue(self, data: bytes, cut: Cut | None) -> None:
        if self._waiting_bytes + len(data) > OUTPUT_BUFFER_BYTES:
            self._skipped_segments += not self._skipping
            self._skipping = True
        elif cut is not None:
            self._skipping = False
        if self._skipping or self._finished:
            self._skipped_bytes += len(data)
            return
        self._waiting.append((data, cut))
        self._waiting_bytes += len(data)
        self._changed.set()

    async def _next(self) -> tuple[bytes, Cut | None] | None:
        """Wait for the next piece, joined with what follows it in its segment; None at the end."""
        while not self._waiting:
            if self._finished:
                return None
            self._changed.clear()
            await self._changed.wait()
        data, cut = self._waiting.popleft()
        pieces = [data]
        while self._waiting and self._waiting[0][1] is None:
            pieces.append(self._waiting.popleft()[0])
        joined = b"".join(pieces) if len(pieces) > 1 else data
        self._waiting_bytes -= len(joined)
        return joined, cut

    async def _write(self) -> None:
        try:
            piece = await self._next()
            while piece is not None:
                async with self._writer.segment() as write:
                    piece = await self._fill(write, piece[0])
        except PeerError as error:
            self._finished = True
            self._on_failed(f"output: {error}")

    async def _fill(self, write: SegmentWriter, first: bytes) -> tuple[bytes, Cut | None] | None:
        """Write one segment and return the piece that begins the next one. A failed segment is drained."""
        accepted = await self._put(write, first)
        while (piece := await self._next()) is not None and piece[1] is None:
            if accepted:
                accepted = await self._put(write, piece[0])
            else:
                self._skipped_bytes += len(piece[0])
        return piece

    async def _put(self, write: SegmentWriter, data: bytes) -> bool:
        if not await write(data):
            self._skipped_bytes += len(data)
            return False
        if not self._sent_bytes:
            self._on_first_bytes()
        self._sent_bytes += len(data)
        return True

    async def aclose(self) -> None:
        """Encode and send what waits, then end the channel, so that its readers know."""
        await self._close_encoder()
        self._loop.call_soon(self._take_over)
        self._loop.call_soon(self._finish)
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=FLUSH_LIMIT_S)
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        await self._writer.aclose(delete=True)

    def _finish(self) -> None:
        self._finished = True
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Return counters of the encoder and the channel."""
        return {
            "kind": "trickle",
            "waiting_bytes": self._waiting_bytes,
            "skipped_bytes": self._skipped_bytes,
            "skipped_segments": self._skipped_segments,
            "failed_segments": self._writer.segments_failed,
            "late_segments": self._writer.segments_late,
            "written_bytes": self._sent_bytes,
            "encoder": self._options.video.codec,
            **self._encoder_status(),
        }
