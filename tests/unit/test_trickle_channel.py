"""The channel's rules, each by itself, and all of them against a model that is written differently."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ai_runner_base.errors import CallerError
from ai_runner_base.trickle.channel import Channel, Channels, Limits, Missing, Write
from ai_runner_base.trickle.protocol import CURRENT, NEXT, RING_SEGMENTS
from ai_runner_base.trickle.segment import (
    CHUNK_COST_BYTES,
    TRANSITIONS,
    Segment,
    SegmentEvent,
    SegmentState,
)

pytestmark = pytest.mark.unit


def make(**limits: int) -> Channel:
    return Channel("ch", "text/plain", Limits(**limits), now_s=0.0)


def post(channel: Channel, seq: int, *chunks: bytes, now_s: float = 1.0) -> Write:
    write = channel.write(seq)
    for chunk in chunks:
        write.append(chunk, now_s)
    write.finish(now_s)
    return write


def content(channel: Channel, seq: int) -> bytes:
    segment = channel.read(seq)
    assert isinstance(segment, Segment)
    return segment.read(0, 1 << 30)[0]


def test_every_event_has_a_place_in_every_state() -> None:
    assert set(TRANSITIONS) == set(itertools.product(SegmentState, SegmentEvent))


def test_the_first_byte_moves_next_write_not_the_request() -> None:
    channel = make()
    write = channel.write(0)
    assert channel.next_write == 0
    write.append(b"x", 1.0)
    assert channel.next_write == 1
    write.finish(2.0)
    assert channel.next_write == 1


def test_an_empty_segment_is_legal_and_counts() -> None:
    channel = make()
    write = post(channel, 0)
    assert (channel.next_write, write.segment.state) == (1, SegmentState.ENDED)


def test_a_late_post_moves_next_write_backwards() -> None:
    channel = make()
    for seq in range(4):
        post(channel, seq, b"x")
    post(channel, 1, b"late")
    assert channel.next_write == 2


def test_minus_one_writes_at_the_edge_and_minus_two_reads_what_is_current() -> None:
    channel = make()
    assert isinstance(channel.read(CURRENT), Segment)
    assert post(channel, NEXT, b"a").seq == 0
    assert post(channel, NEXT, b"b").seq == 1
    assert content(channel, CURRENT) == b"b"
    waiting = channel.read(NEXT)
    assert isinstance(waiting, Segment)
    assert (waiting.seq, waiting.state) == (2, SegmentState.FRESH)


@pytest.mark.parametrize(
    ("written", "asked", "waits"),
    [(0, 0, True), (0, 1, True), (0, 2, False), (1, 1, True), (1, 2, False), (7, 7, True), (7, 8, False)],
)
def test_a_missing_segment_is_waited_for_only_at_the_edge(written: int, asked: int, waits: bool) -> None:
    channel = make()
    for seq in range(written):
        post(channel, seq, b"x")
    found = channel.read(asked)
    assert isinstance(found, Segment) is waits
    if not waits:
        assert found == Missing(asked, written)


def test_the_ring_keeps_five_and_pre_connecting_costs_one() -> None:
    channel = make()
    for seq in range(7):
        post(channel, seq, b"x")
    assert [isinstance(channel.read(seq), Segment) for seq in range(7)] == [False] * 2 + [True] * 5
    channel.read(NEXT)
    assert isinstance(channel.read(2), Missing)


def test_taking_a_slot_ends_whoever_was_in_it() -> None:
    channel = make()
    write = channel.write(0)
    write.append(b"x", 1.0)
    channel.write(RING_SEGMENTS)
    assert write.segment.ended
    assert write.append(b"more", 1.0)  # its writer may finish, nobody reads it
    assert channel.cost_bytes == 0


def test_posting_twice_appends_and_readers_just_continue() -> None:
    channel = make()
    first = channel.write(3)
    first.append(b"Hello", 1.0)
    segment = channel.read(3)
    assert isinstance(segment, Segment)
    _, index = segment.read(0, 100)
    second = channel.write(3)
    second.append(b"World", 1.0)
    assert segment.read(index, 100)[0] == b"World"
    first.finish(1.0)
    second.append(b"!", 1.0)  # after the end: for those who read later
    assert content(channel, 3) == b"HelloWorld!"


def test_reset_ends_lower_segments_and_keeps_their_bytes() -> None:
    channel = make()
    old, ahead = channel.write(0), channel.write(2)
    old.append(b"Hello", 1.0)
    fresh = channel.write(NEXT, reset=True)
    assert fresh.seq == 1
    assert old.segment.ended
    assert not ahead.segment.ended
    assert not fresh.segment.ended
    assert content(channel, 0) == b"Hello"


def test_ending_a_segment_by_number() -> None:
    channel = make()
    write = channel.write(0)
    assert channel.end(0)
    assert write.segment.ended
    assert not channel.end(5)  # the same slot
    assert not channel.end(1)


def test_a_broken_body_ends_its_segment_only_if_it_had_begun() -> None:
    channel = make()
    silent = channel.write(0)
    silent.fail()
    assert silent.segment.state is SegmentState.FRESH
    retry = channel.write(0)
    retry.append(b"half", 1.0)
    retry.fail()
    assert retry.segment.state is SegmentState.ENDED
    assert content(channel, 0) == b"half"


def test_closing_wakes_waiting_readers_and_leaves_no_memory() -> None:
    channel = make()
    write = channel.write(0)
    write.append(b"x", 1.0)
    waiting = channel.read(1)
    assert isinstance(waiting, Segment)
    woken: list[bool] = []

    def wake() -> None:
        woken.append(waiting.ended)

    channel.attach(waiting, wake)
    channel.close()
    assert woken == [True]
    assert isinstance(channel.read(1), Missing)
    assert write.append(b"more", 2.0)
    channel.detach(waiting, wake)
    assert channel.cost_bytes == 0


def test_a_segment_past_its_limit_is_ended_and_counted() -> None:
    channel = make(segment_bytes=10, channel_bytes=1000)
    write = channel.write(0)
    assert write.append(b"12345678", 1.0)
    assert not write.append(b"9abc", 1.0)
    assert write.segment.ended
    assert content(channel, 0) == b"12345678"
    assert channel.counters.segments_cut == 1


def test_past_the_channels_limit_the_oldest_goes_readers_or_not() -> None:
    channel = make(segment_bytes=1000, channel_bytes=2500)
    post(channel, 0, b"a" * 900)
    oldest = channel.read(0)
    assert isinstance(oldest, Segment)
    channel.attach(oldest, lambda: None)
    post(channel, 1, b"b" * 900)
    post(channel, 2, b"c" * 900)
    assert oldest.state is SegmentState.GONE
    assert channel.read(0) == Missing(0, 3)
    assert content(channel, 1) == b"b" * 900
    assert channel.counters.segments_dropped == 1
    assert channel.cost_bytes <= 2500


def test_a_slow_reader_keeps_an_evicted_segment_but_not_for_ever() -> None:
    channel = make(segment_bytes=1000, channel_bytes=6000)
    post(channel, 0, b"x" * 900)
    slow = channel.read(0)
    assert isinstance(slow, Segment)
    channel.attach(slow, watcher := lambda: None)
    for seq in range(1, 6):
        post(channel, seq, b"y" * 900)
    assert slow.read(0, 1 << 20)[0] == b"x" * 900  # out of the ring, still readable
    assert channel.cost_bytes == 6 * (900 + CHUNK_COST_BYTES)
    channel.detach(slow, watcher)
    assert slow.state is SegmentState.GONE
    assert channel.cost_bytes == 5 * (900 + CHUNK_COST_BYTES)


def test_tiny_chunks_cannot_hide_memory() -> None:
    channel = make(segment_bytes=1000, channel_bytes=1000)
    post(channel, 0, *[b"x"] * 10)
    post(channel, 1, *[b"y"] * 10)
    assert isinstance(channel.read(0), Missing)


def test_a_reader_behind_gets_chunks_joined_up_to_the_limit() -> None:
    segment = Segment(0)
    for chunk in (b"aa", b"bb", b"cc", b"dddddd"):
        segment.append(chunk)
    data, index = segment.read(0, 5)
    assert (data, index) == (b"aabb", 2)
    assert segment.read(3, 5) == (b"dddddd", 4)  # at least one, whatever its size
    assert segment.read(4, 5) == (b"", 4)


def test_chunks_pass_through_uncopied() -> None:
    segment, chunk = Segment(0), bytes(100)
    segment.append(chunk)
    assert segment.read(0, 1000)[0] is chunk


def test_limits_must_fit_each_other() -> None:
    with pytest.raises(CallerError, match="segment_bytes"):
        Limits(segment_bytes=10, channel_bytes=5)


def test_the_sweep_closes_idle_channels_but_no_internal_ones() -> None:
    now_s = 0.0
    channels = Channels(Limits(), lambda: now_s)
    for name in ("idle", "busy", "_changes"):
        channels.create(name, "")
    now_s = 200.0
    busy = channels.get("busy")
    assert busy is not None
    busy.write(0).append(b"x", now_s)
    now_s = 300.0
    assert channels.sweep(300.0) == []
    now_s = 300.5
    assert channels.sweep(300.0) == ["idle"]
    assert [channel.name for channel in channels] == ["busy", "_changes"]


def test_there_is_room_for_so_many_channels() -> None:
    channels = Channels(Limits(channels=1), lambda: 0.0)
    first = channels.create("a", "x")
    assert channels.create("a", "y") is first
    assert first.mime == "x"
    with pytest.raises(CallerError, match="1 channels are open"):
        channels.create("b", "")
    assert channels.close("a")
    assert not channels.close("a")


SEQS = st.integers(min_value=0, max_value=12)


class ChannelModel(RuleBasedStateMachine):
    """The written rules, kept as plain dictionaries, beside the real channel."""

    @initialize()
    def begin(self) -> None:
        self.channel = Channel("ch", "", Limits(), 0.0)
        self.next_write = 0
        self.slots: dict[int, int] = {}
        self.bytes: dict[int, bytes] = {}
        self.ended: dict[int, bool] = {}
        self.writes: list[tuple[Write, list[bool]]] = []

    def _claim(self, seq: int) -> None:
        if self.slots.get(seq % 5) != seq:
            self.slots[seq % 5] = seq
            self.bytes[seq], self.ended[seq] = b"", False

    def _here(self, write: Write) -> bool:
        """The write's segment is still the one in its slot."""
        found = self.slots.get(write.seq % 5) == write.seq
        return found and self.channel.read(write.seq) is write.segment

    @rule(seq=st.one_of(SEQS, st.just(NEXT)), reset=st.booleans())
    def open(self, seq: int, reset: bool) -> None:
        write = self.channel.write(seq, reset=reset)
        resolved = self.next_write if seq == NEXT else seq
        assert write.seq == resolved
        self._claim(resolved)
        if reset:
            for other in self.slots.values():
                self.ended[other] |= other < resolved
        self.writes.append((write, []))

    @rule(data=st.data(), chunk=st.binary(min_size=1, max_size=3))
    def append(self, data: st.DataObject, chunk: bytes) -> None:
        if not self.writes:
            return
        write, begun = data.draw(st.sampled_from(self.writes))
        here = self._here(write)
        if not begun:
            begun.append(True)
            self.next_write = write.seq + 1
        assert write.append(chunk, 1.0)
        if here:
            self.bytes[write.seq] += chunk

    @rule(data=st.data(), broken=st.booleans())
    def finish(self, data: st.DataObject, broken: bool) -> None:
        if not self.writes:
            return
        entry = data.draw(st.sampled_from(self.writes))
        self.writes.remove(entry)
        write, begun = entry
        here = self._here(write)
        if broken:
            write.fail()
        else:
            write.finish(1.0)
            self.next_write = self.next_write if begun else write.seq + 1
        if here and (begun or not broken):
            self.ended[write.seq] = True

    @rule(seq=SEQS)
    def end(self, seq: int) -> None:
        exists = self.slots.get(seq % 5) == seq
        assert self.channel.end(seq) is exists
        if exists:
            self.ended[seq] = True

    @rule(seq=st.one_of(SEQS, st.just(NEXT), st.just(CURRENT)))
    def read(self, seq: int) -> None:
        resolved = {NEXT: self.next_write, CURRENT: max(self.next_write - 1, 0)}.get(seq, seq)
        exists = self.slots.get(resolved % 5) == resolved
        ahead = resolved == self.next_write or (resolved == 1 and self.next_write == 0)
        found = self.channel.read(seq)
        if not exists and not ahead:
            assert found == Missing(resolved, self.next_write)
            return
        self._claim(resolved)
        assert isinstance(found, Segment)
        assert found.seq == resolved

    @invariant()
    def agrees(self) -> None:
        assert self.channel.next_write == self.next_write
        assert len(self.slots) <= 5
        for seq in self.slots.values():
            segment = self.channel.read(seq)
            assert isinstance(segment, Segment)
            assert segment.read(0, 1 << 20)[0] == self.bytes[seq]
            assert segment.ended is self.ended[seq]
        held = sum(segment_cost(self.channel, seq) for seq in self.slots.values())
        assert self.channel.cost_bytes == held


def segment_cost(channel: Channel, seq: int) -> int:
    segment = channel.read(seq)
    return segment.cost_bytes if isinstance(segment, Segment) else 0


TestChannelModel = ChannelModel.TestCase
TestChannelModel.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
