"""Bytes from the event loop to the decode thread: bounded, and never in the writer's way."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

DEFAULT_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they were written.

    :param received_ns: ``time.monotonic_ns()`` of the write
    :param gap: bytes before these were thrown away
    """

    data: bytes
    received_ns: int
    gap: bool = False


class BytePipe:
    """A bounded, thread-safe pipe with one reader.

    A live reader that falls behind by more than the limit skips to the live edge: everything that waits is
    thrown away and the next chunk says so (`Chunk.gap`), upon which the decoder looks for the next packet
    start and then for the next key frame.

    :param limit_bytes: what may wait; a single larger write is taken whole
    """

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.live_edge_skips = 0
        self._chunks: deque[Chunk] = deque()
        self._size_bytes = 0
        self._gap = False
        self._ended = False
        self._changed = threading.Condition()

    @property
    def waiting_bytes(self) -> int:
        """Bytes written and not read yet."""
        return self._size_bytes

    def write(self, data: bytes) -> bool:
        """Add bytes; never blocks.

        :returns: False when waiting bytes were thrown away for these, or when the pipe is closed
        """
        with self._changed:
            if self._ended or not data:
                return not self._ended
            full = self._size_bytes > 0 and self._size_bytes + len(data) > self.limit_bytes
            if full:
                self._skip_to_live_edge()
            self._chunks.append(Chunk(bytes(data), time.monotonic_ns(), self._gap))
            self._size_bytes += len(data)
            self._gap = False
            self._changed.notify()
            return not full

    def skip(self) -> None:
        """Throw away what waits and mark a gap, as a writer does that knows it has lost bytes."""
        with self._changed:
            self._skip_to_live_edge()

    def close(self) -> None:
        """No more bytes will come; what waits is still read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """End at once: what waits is thrown away and a blocked reader wakes."""
        with self._changed:
            self._chunks.clear()
            self._size_bytes = 0
            self._ended = True
            self._changed.notify_all()

    def read_chunk(self, timeout_s: float | None = None) -> Chunk | None:
        """Wait for the next chunk.

        :returns: None at the end of the input
        :raises TimeoutError: nothing came in time
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._chunks or self._ended, timeout_s):
                raise TimeoutError
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._size_bytes -= len(chunk.data)
            return chunk

    def _skip_to_live_edge(self) -> None:
        self._chunks.clear()
        self._size_bytes = 0
        self._gap = True
        self.live_edge_skips += 1
