"""A stream's encoded output, for any number of watchers beside its sink: encoded once, whoever watches.

The encode thread gives; watchers are called on the event loop. Nothing is kept: a watcher begins at the next key
frame, which it may ask for, and bounds what waits for its own connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from ..media import CodedFrame, Cut

KEY_FRAME_EVERY_S = 0.5
"""Key frames that watchers ask for come at most this often: each costs as much as ten other frames."""
BUFFER_BYTES = 8 << 20
"""What may wait for a slow reader of MPEG-TS; beyond it, it goes on at the next segment."""


class CodedSound(NamedTuple):
    """One packet of Opus; `pts` in 1/90000 s, on the pictures' timeline."""

    data: bytes
    pts: int


_Piece = tuple[bytes, "Cut | None"] | None


class Output:
    """Spreads what one encoder makes.

    :param request_key_frame: of the encoder; any thread
    """

    def __init__(self, request_key_frame: Callable[[], None]) -> None:
        self._request_key_frame = request_key_frame
        self._loop = asyncio.get_running_loop()
        self._frame_watchers: set[Callable[[CodedFrame | None], None]] = set()
        self._sound_watchers: set[Callable[[CodedSound], None]] = set()
        self._byte_watchers: set[Callable[[_Piece], None]] = set()
        self._next_key_s = 0.0
        self._key_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return len(self._frame_watchers) + len(self._byte_watchers)

    # --- on the encode thread -----------------------------------------------------------------------------------

    def take_frame(self, coded: CodedFrame) -> None:
        """Give a coded frame to those who watch frames."""
        if self._frame_watchers:
            self._loop.call_soon_threadsafe(self._spread_frame, coded)

    def take_sound(self, data: bytes, pts: int) -> None:
        """Give a packet of Opus to those who listen."""
        if self._sound_watchers:
            self._loop.call_soon_threadsafe(self._spread_sound, CodedSound(data, pts))

    def take_bytes(self, data: bytes, cut: Cut | None) -> None:
        """Give MPEG-TS to those who watch bytes."""
        if self._byte_watchers:
            self._loop.call_soon_threadsafe(self._spread_bytes, (data, cut))

    # --- on the event loop --------------------------------------------------------------------------------------

    def subscribe(self, put: Callable[[CodedFrame | None], None]) -> Callable[[], None]:
        """Call `put` with each coded frame from now on, and with None at the end; return what stops that."""
        self._frame_watchers.add(put)
        if self._closed:
            self._loop.call_soon(put, None)
        return lambda: self._frame_watchers.discard(put)

    def subscribe_sound(self, put: Callable[[CodedSound], None]) -> Callable[[], None]:
        """Call `put` with each packet of sound from now on; return what stops that."""
        self._sound_watchers.add(put)
        return lambda: self._sound_watchers.discard(put)

    def request_key_frame(self) -> None:
        """Ask for a key frame; requests that come close together are answered by one."""
        if self._closed or self._key_timer is not None:
            return
        wait_s = max(0.0, self._next_key_s - time.monotonic())
        self._key_timer = self._loop.call_later(wait_s, self._ask)

    def _ask(self) -> None:
        self._key_timer = None
        self._next_key_s = time.monotonic() + KEY_FRAME_EVERY_S
        self._request_key_frame()

    async def ts(self) -> AsyncGenerator[bytes, None]:
        """Yield MPEG-TS from the next segment on, until the stream ends; a reader that is too slow skips segments."""
        reader = _TsReader()
        if self._closed:
            return
        self._byte_watchers.add(reader.put)
        self.request_key_frame()
        try:
            async with aclosing(reader.pieces()) as pieces:
                async for data in pieces:
                    yield data
        finally:
            self._byte_watchers.discard(reader.put)

    def close(self) -> None:
        """Tell all watchers that nothing more comes."""
        self._closed = True
        if self._key_timer is not None:
            self._key_timer.cancel()
        self._spread_frame(None)
        self._spread_bytes(None)

    def _spread_frame(self, coded: CodedFrame | None) -> None:
        for put in list(self._frame_watchers):
            put(coded)

    def _spread_sound(self, sound: CodedSound) -> None:
        for put in list(self._sound_watchers):
            put(sound)

    def _spread_bytes(self, piece: _Piece) -> None:
        for put in list(self._byte_watchers):
            put(piece)


class _TsReader:
    """What waits for one reader of MPEG-TS, beginning at the start of a segment."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._in_step = False
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, piece: _Piece) -> None:
        if piece is None:
            self._ended = True
        else:
            self._add(*piece)
        self._changed.set()

    def _add(self, data: bytes, cut: Cut | None) -> None:
        if self._waiting_bytes + len(data) > BUFFER_BYTES:
            self._in_step = False
        elif cut is not None:
            self._in_step = True
        if self._in_step:
            self._waiting.append(data)
            self._waiting_bytes += len(data)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while True:
            if self._waiting:
                data, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
                yield data
            elif self._ended:
                return
            else:
                self._changed.clear()
                await self._changed.wait()
