"""One segment: bytes that may be read while they are written. No I/O, no clock, no event loop."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final

CHUNK_COST_BYTES: Final = 64
"""What a chunk costs beside its bytes (object header, list entry): tiny chunks cannot hide memory."""


class SegmentState(enum.Enum):
    """Where a segment is in its life."""

    FRESH = "fresh"
    """Somebody waits for it, or a writer has announced it; no byte yet."""
    WRITING = "writing"
    ENDED = "ended"
    """Its readers get the bytes there are and then the end."""
    GONE = "gone"
    """Its bytes were given up; a reader in the middle of it must not take it for complete."""


class SegmentEvent(enum.Enum):
    """What can happen to a segment."""

    BYTES = "bytes"
    END = "end"
    DROP = "drop"


_S, _E = SegmentState, SegmentEvent
TRANSITIONS: Final[Mapping[tuple[SegmentState, SegmentEvent], SegmentState]] = {
    (_S.FRESH, _E.BYTES): _S.WRITING,
    (_S.WRITING, _E.BYTES): _S.WRITING,
    (_S.ENDED, _E.BYTES): _S.ENDED,  # a second POST appends; who reads later sees the bytes
    (_S.GONE, _E.BYTES): _S.GONE,  # discarded
    (_S.FRESH, _E.END): _S.ENDED,
    (_S.WRITING, _E.END): _S.ENDED,
    (_S.ENDED, _E.END): _S.ENDED,
    (_S.GONE, _E.END): _S.GONE,
    (_S.FRESH, _E.DROP): _S.GONE,
    (_S.WRITING, _E.DROP): _S.GONE,
    (_S.ENDED, _E.DROP): _S.GONE,
    (_S.GONE, _E.DROP): _S.GONE,
}

Watcher = Callable[[], None]


class Segment:
    """A numbered, append-only list of chunks with watchers.

    Chunks are kept as they came and handed on without a copy. Watchers are called on every change and must
    not raise.

    :param seq: sequence number, from 0
    """

    __slots__ = ("_chunks", "_watchers", "cost_bytes", "seq", "size_bytes", "state")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.state = SegmentState.FRESH
        self.size_bytes = 0
        self.cost_bytes = 0
        self._chunks: list[bytes] = []
        self._watchers: list[Watcher] = []

    @property
    def ended(self) -> bool:
        """No more bytes will come for those who read it now."""
        return self.state is SegmentState.ENDED or self.state is SegmentState.GONE

    @property
    def watched(self) -> bool:
        """Somebody reads it or waits for it."""
        return bool(self._watchers)

    def append(self, chunk: bytes) -> int:
        """Add bytes, unless they were given up.

        :param chunk: not empty; kept, not copied
        :return: by how much the cost grew, in bytes
        """
        self.state = TRANSITIONS[self.state, SegmentEvent.BYTES]
        if self.state is SegmentState.GONE:
            return 0
        cost = len(chunk) + CHUNK_COST_BYTES
        self._chunks.append(chunk)
        self.size_bytes += len(chunk)
        self.cost_bytes += cost
        self._notify()
        return cost

    def end(self) -> None:
        """Let readers come to an end; idempotent."""
        self.state = TRANSITIONS[self.state, SegmentEvent.END]
        self._notify()

    def drop(self) -> int:
        """Give the bytes up.

        :return: the cost that was freed, in bytes
        """
        self.state = TRANSITIONS[self.state, SegmentEvent.DROP]
        freed, self.cost_bytes = self.cost_bytes, 0
        self._chunks = []
        self._notify()
        return freed

    def read(self, index: int, limit_bytes: int) -> tuple[bytes, int]:
        """Take chunks from ``index`` on, at least one if there is one, joined while they fit the limit.

        :return: the bytes (empty: nothing there yet) and the index to go on with
        """
        chunks = self._chunks
        end, total = index, 0
        while end < len(chunks) and (end == index or total + len(chunks[end]) <= limit_bytes):
            total += len(chunks[end])
            end += 1
        if end - index == 1:
            return chunks[index], end
        return b"".join(chunks[index:end]), end

    def watch(self, watcher: Watcher) -> None:
        """Call ``watcher`` on every change until `unwatch`."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Stop calling ``watcher``; it must have been given to `watch`."""
        self._watchers.remove(watcher)

    def _notify(self) -> None:
        for watcher in self._watchers:
            watcher()
