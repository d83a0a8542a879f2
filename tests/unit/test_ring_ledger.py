"""The books on slots: every slot has one owner, whatever the order of events."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ai_runner_base.ring import InputLedger, LedgerError, OutputLedger, OutputReceipts, SlotState

pytestmark = pytest.mark.unit

SLOTS = 4


class InputBooks(RuleBasedStateMachine):
    """Both sides of an input ring at once; frames are numbered by their commits."""

    @initialize(lossless=st.booleans())
    def begin(self, lossless: bool) -> None:
        self.lossless = lossless
        self.ledger = InputLedger(SLOTS, lossless=lossless)
        self.writing: list[int] = []
        self.waiting: list[tuple[int, int]] = []  # (slot, frame)
        self.sent: list[int] = []
        self.delivered: list[int] = []
        self.dropped: list[int] = []
        self.frames = 0

    @rule()
    def acquire(self) -> None:
        slot = self.ledger.acquire()
        if slot is None:
            held = len(self.writing) + len(self.sent)
            assert held + (len(self.waiting) if self.lossless else 0) == SLOTS
            return
        stolen = [frame for waiting, frame in self.waiting if waiting == slot]
        assert not (stolen and self.lossless)
        self.dropped += stolen
        self.waiting = [(waiting, frame) for waiting, frame in self.waiting if waiting != slot]
        assert slot not in self.writing + self.sent
        self.writing.append(slot)

    @precondition(lambda self: self.writing)
    @rule(which=st.integers(0, SLOTS))
    def commit(self, which: int) -> None:
        slot = self.writing.pop(which % len(self.writing))
        self.frames += 1
        send, replaced = self.ledger.commit(slot)
        if replaced is not None:
            assert not self.lossless
            assert self.waiting[0][0] == replaced
            self.dropped.append(self.waiting.pop(0)[1])
        if send:
            assert not self.waiting
            self.sent.append(slot)
            self.delivered.append(self.frames)
        else:
            self.waiting.append((slot, self.frames))

    @precondition(lambda self: self.writing)
    @rule()
    def abandon(self) -> None:
        self.ledger.abandon(self.writing.pop())

    @rule(count=st.integers(1, 3))
    def demand(self, count: int) -> None:
        for slot in self.ledger.demand(count):
            waiting, frame = self.waiting.pop(0)
            assert waiting == slot
            self.sent.append(slot)
            self.delivered.append(frame)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, SLOTS))
    def release(self, which: int) -> None:
        self.ledger.release(self.sent.pop(which % len(self.sent)))

    @rule(slot=st.integers(-1, SLOTS))
    def release_what_was_not_sent(self, slot: int) -> None:
        if slot not in self.sent:
            with pytest.raises(LedgerError):
                self.ledger.release(slot)

    @invariant()
    def every_slot_has_one_owner(self) -> None:
        expected = {
            SlotState.WRITING: len(self.writing),
            SlotState.PENDING: len(self.waiting),
            SlotState.SENT: len(self.sent),
        }
        for state, count in expected.items():
            assert self.ledger.count(state) == count
        assert self.ledger.count(SlotState.FREE) == SLOTS - sum(expected.values())

    @invariant()
    def frames_are_delivered_in_order_and_accounted_for(self) -> None:
        assert self.delivered == sorted(self.delivered)
        assert len(self.delivered) + len(self.dropped) + len(self.waiting) == self.frames
        assert not (self.lossless and self.dropped)

    @invariant()
    def the_newest_frame_is_never_dropped_by_a_commit(self) -> None:
        if not self.lossless:
            assert len(self.waiting) <= 1
            assert not (self.waiting and self.ledger.credit)


InputBooks.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestInputBooks = InputBooks.TestCase


def test_newest_wins_and_the_last_frame_is_delivered() -> None:
    ledger = InputLedger(SLOTS)
    replaced = []
    for _ in range(20):
        slot = ledger.acquire()
        assert slot is not None
        replaced.append(ledger.commit(slot).replaced)
        last = slot
    assert ledger.demand(1) == [last]
    assert replaced.count(None) == 1  # only the first one replaced nobody


def test_a_session_starts_without_demand_and_without_waiting_frames() -> None:
    ledger = InputLedger(SLOTS, lossless=True)
    first, second = ledger.acquire(), ledger.acquire()
    assert first is not None
    assert second is not None
    ledger.demand(1)
    ledger.commit(first)
    ledger.commit(second)
    assert ledger.start_session(lossless=False) == 1
    assert ledger.state(first) is SlotState.SENT
    assert ledger.state(second) is SlotState.FREE
    assert ledger.credit == 0


class OutputBooks(RuleBasedStateMachine):
    """Worker's ledger and runner's receipts with a wire between them that delivers in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.receipts = OutputLedger(SLOTS), OutputReceipts(SLOTS)
        self.held: list[int] = []

    @rule()
    def result(self) -> None:
        slot = self.ledger.take()
        if slot is None:
            # Nothing is lost on the way: the worker runs out only when the consumer has all but what it was told.
            assert len(self.held) == SLOTS
            return
        self.ledger.send(slot)
        self.receipts.receive(slot)
        self.held.append(slot)
        self._tell_if_urgent()

    @rule()
    def result_that_fails(self) -> None:
        slot = self.ledger.take()
        if slot is not None:
            self.ledger.abandon(slot)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, SLOTS))
    def give_back(self, which: int) -> None:
        self.receipts.give_back(self.held.pop(which % len(self.held)))
        self._tell_if_urgent()

    @rule()
    def tell_with_a_frame(self) -> None:
        self._tell()

    def _tell_if_urgent(self) -> None:
        if self.receipts.urgent:
            self._tell()

    def _tell(self) -> None:
        for slot in self.receipts.take_owed():
            self.ledger.release(slot)
        assert not self.receipts.owes

    @invariant()
    def the_worker_always_sees_a_slot_when_two_are_free(self) -> None:
        assert self.receipts.held == len(self.held)
        if SLOTS - len(self.held) >= 2:
            assert self.ledger.free >= 2 or not self.receipts.owes


OutputBooks.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestOutputBooks = OutputBooks.TestCase


@pytest.mark.parametrize("slot", [-1, 0, SLOTS])
def test_outputs_that_were_not_given_are_refused(slot: int) -> None:
    with pytest.raises(LedgerError, match="not sent"):
        OutputLedger(SLOTS).release(slot)
    with pytest.raises(LedgerError, match="not held"):
        OutputReceipts(SLOTS).give_back(slot)


def test_an_output_cannot_be_given_twice() -> None:
    receipts = OutputReceipts(SLOTS)
    receipts.receive(1)
    with pytest.raises(LedgerError, match="not the worker's to give"):
        receipts.receive(1)
