"""Channels and their sequence numbers, after the rules of go-livepeer. No I/O; the clock is an argument.

The rules that surprise: ``next_write`` moves when the first byte of a POST arrives, and to ``seq + 1``
whatever it was before, so a late POST moves it backwards; the ring has five slots, and whoever needs one
takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import CallerError
from .protocol import CURRENT, NEXT, RING_SEGMENTS
from .segment import Segment, Watcher

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """How much memory a server may take. The protocol knows no limits; an open port needs some.

    :param segment_bytes: a segment that grows past it is ended and its writer refused
    :param channel_bytes: over it the oldest segments of the channel are dropped, readers or not
    :param channels: how many channels may exist at once
    """

    segment_bytes: int = 32 * MIB
    channel_bytes: int = 64 * MIB
    channels: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.segment_bytes <= self.channel_bytes:
            raise CallerError(
                f"trickle limits: segment_bytes {self.segment_bytes} must be in 1..channel_bytes "
                f"({self.channel_bytes})"
            )


@dataclass
class ChannelCounters:
    """What happened in a channel since it was made."""

    bytes_in: int = 0
    segments_started: int = 0
    segments_cut: int = 0
    """Ended early because they grew past ``segment_bytes``."""
    segments_dropped: int = 0
    """Given up because the channel grew past ``channel_bytes``."""


@dataclass(frozen=True)
class Missing:
    """The answer to a read when the segment neither exists nor is worth waiting for.

    :param seq: the number that was asked for, resolved
    :param latest: the channel's next sequence number
    """

    seq: int
    latest: int


class Channel:
    """An append-only list of numbered segments of which the newest five are kept.

    :param name: one path part
    :param mime: content type that readers are told
    :param now_s: clock reading at creation
    """

    def __init__(self, name: str, mime: str, limits: Limits, now_s: float) -> None:
        self.name = name
        self.mime = mime
        self.next_write = 0
        self.closed = False
        self.started_s = now_s
        """Clock reading when a segment last started; creation before that."""
        self.cost_bytes = 0
        self.counters = ChannelCounters()
        self._limits = limits
        self._ring: list[Segment | None] = [None] * RING_SEGMENTS
        # Out of the ring, but somebody is still reading: their memory counts until the last reader leaves.
        self._lingering: list[Segment] = []

    # --- writing ---

    def write(self, seq: int, *, reset: bool = False) -> Write:
        """Begin one POST.

        :param seq: from 0, or `NEXT`
        :param reset: the publisher restarted: end every segment with a lower number
        """
        seq = self.next_write if seq == NEXT else seq
        segment = self._at(seq) or self._put(seq)
        if reset:
            for other in self._ring:
                if other is not None and other.seq < seq:
                    other.end()
        return Write(self, segment)

    def started(self, seq: int, now_s: float) -> None:
        """A POST of ``seq`` has come to life: its first byte, or its end without any."""
        self.next_write = seq + 1
        self.started_s = now_s
        self.counters.segments_started += 1

    def append(self, segment: Segment, chunk: bytes) -> bool:
        """Add bytes to a segment, within the limits.

        :return: False when the segment is full: it has been ended and the bytes were not taken
        """
        self.counters.bytes_in += len(chunk)
        if self.closed:
            return True  # nobody can read them any more; the writer may finish in peace
        if segment.size_bytes + len(chunk) > self._limits.segment_bytes:
            self.counters.segments_cut += 1
            segment.end()
            return False
        self.cost_bytes += segment.append(chunk)
        self._trim(segment)
        return True

    def end(self, seq: int) -> bool:
        """End one segment.

        :return: False when there is no such segment
        """
        segment = self._at(seq)
        if segment is None:
            return False
        segment.end()
        return True

    def close(self) -> None:
        """End everything. Who reads gets the bytes there are; who waits is told that the channel ended."""
        self.closed = True
        for slot, segment in enumerate(self._ring):
            if segment is not None:
                self._ring[slot] = None
                self._retire(segment)

    # --- reading ---

    def read(self, seq: int) -> Segment | Missing:
        """Find a segment, or make the one that a writer will fill next.

        :param seq: from 0, `NEXT` or `CURRENT`
        """
        if seq == NEXT:
            seq = self.next_write
        elif seq == CURRENT:
            seq = max(self.next_write - 1, 0)
        segment = self._at(seq)
        if segment is None and self._is_next(seq) and not self.closed:
            segment = self._put(seq)
        return segment or Missing(seq, self.next_write)

    def attach(self, segment: Segment, watcher: Watcher) -> None:
        """Register a reader; its segment's bytes stay until `detach`, within the channel's limit."""
        segment.watch(watcher)

    def detach(self, segment: Segment, watcher: Watcher) -> None:
        """Unregister a reader, and free a segment that only it kept alive."""
        segment.unwatch(watcher)
        if not segment.watched and segment in self._lingering:
            self._lingering.remove(segment)
            self.cost_bytes -= segment.drop()

    # --- the ring ---

    def _at(self, seq: int) -> Segment | None:
        segment = self._ring[seq % RING_SEGMENTS]
        return segment if segment is not None and segment.seq == seq else None

    def _is_next(self, seq: int) -> bool:
        # 1 before any write: readers pre-connect one ahead of a publisher that has only pre-connected.
        return seq == self.next_write or (self.next_write == 0 and seq == 1)

    def _put(self, seq: int) -> Segment:
        slot = seq % RING_SEGMENTS
        old, segment = self._ring[slot], Segment(seq)
        self._ring[slot] = segment
        if old is not None:
            self._retire(old)
        return segment

    def _retire(self, segment: Segment) -> None:
        segment.end()
        if segment.watched:
            self._lingering.append(segment)
        else:
            self.cost_bytes -= segment.drop()

    def _trim(self, writing: Segment) -> None:
        while self.cost_bytes > self._limits.channel_bytes:
            victim = self._oldest(writing)
            if victim is None:
                return
            self.counters.segments_dropped += 1
            self._forget(victim)
            self.cost_bytes -= victim.drop()

    def _oldest(self, writing: Segment) -> Segment | None:
        """The segment to give up first: out of the ring before in it, low numbers before high ones."""
        in_ring = sorted((s for s in self._ring if s is not None), key=lambda s: s.seq)
        candidates = [*self._lingering, *in_ring]
        return next((s for s in candidates if s is not writing and s.cost_bytes), None)

    def _forget(self, segment: Segment) -> None:
        if segment in self._lingering:
            self._lingering.remove(segment)
        else:
            self._ring[segment.seq % RING_SEGMENTS] = None


class Write:
    """One POST to a segment: several may append to the same one."""

    def __init__(self, channel: Channel, segment: Segment) -> None:
        self.channel = channel
        self.segment = segment
        self._begun = False

    @property
    def seq(self) -> int:
        """The resolved sequence number."""
        return self.segment.seq

    def append(self, chunk: bytes, now_s: float) -> bool:
        """Add bytes of the body.

        :param chunk: not empty; kept, not copied
        :return: False when the segment is full; it has been ended
        """
        self._begin(now_s)
        return self.channel.append(self.segment, chunk)

    def finish(self, now_s: float) -> None:
        """The body ended, or somebody ended the segment before its first byte."""
        self._begin(now_s)
        self.segment.end()

    def fail(self) -> None:
        """The body broke off. Bytes that came are all there will be; without any, the next POST may try."""
        if self._begun:
            self.segment.end()

    def _begin(self, now_s: float) -> None:
        if not self._begun:
            self._begun = True
            self.channel.started(self.segment.seq, now_s)


class Channels:
    """All channels of one server.

    :param clock: seconds, monotonic
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self._by_name: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(tuple(self._by_name.values()))

    def get(self, name: str) -> Channel | None:
        """The open channel of that name."""
        return self._by_name.get(name)

    def create(self, name: str, mime: str) -> Channel:
        """Make a channel, or return the one that exists, with the type it was made with.

        :raises CallerError: there are as many channels as the limits allow
        """
        existing = self._by_name.get(name)
        if existing is not None:
            return existing
        if len(self._by_name) >= self.limits.channels:
            raise CallerError(
                f"no room for trickle channel {name!r}: {self.limits.channels} channels are open",
                hint="close channels, or raise the limit",
            )
        channel = Channel(name, mime, self.limits, self._clock())
        self._by_name[name] = channel
        return channel

    def close(self, name: str) -> bool:
        """Close a channel and forget it.

        :return: False when there was none
        """
        channel = self._by_name.pop(name, None)
        if channel is None:
            return False
        channel.close()
        return True

    def sweep(self, idle_timeout_s: float) -> list[str]:
        """Close channels in which no segment started for longer than the timeout; ``_names`` are exempt.

        :return: the names that were closed
        """
        now_s = self._clock()
        idle = [
            channel.name
            for channel in self
            if not channel.name.startswith("_") and now_s - channel.started_s > idle_timeout_s
        ]
        for name in idle:
            self.close(name)
        return idle
