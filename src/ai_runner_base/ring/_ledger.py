"""Who owns which slot: pure state machines. Everything that moves a slot from one state to another is here.

Input slots are owned by the runner's side of the books (`InputLedger`)::

    FREE ──acquire──► WRITING ──commit, asked for──► SENT ──release──► FREE
                        │  └────commit, not asked for──► PENDING ──demand──► SENT
                        └──abandon──► FREE

Newest wins: there is at most one PENDING slot; a newer commit frees it (`Committed.replaced`). Lossless:
PENDING slots form a queue that is as long as the ring, and `acquire` finds nothing instead of dropping.

Output slots are chosen by the worker (`OutputLedger`: FREE → WRITING → SENT → FREE); the runner keeps
`OutputReceipts` of what it was given. The slot that was freed last is taken first: slots that are not needed
cost no memory. None of these classes is thread-safe; their owners hold a lock.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple


class LedgerError(ValueError):
    """A slot was moved in a way the books do not allow. From a worker's message, it broke the protocol."""


class SlotState(enum.Enum):
    """What a slot is used for at the moment."""

    FREE = "free"
    WRITING = "writing"
    """The writer's side fills it."""
    PENDING = "pending"
    """Complete, not yet asked for."""
    SENT = "sent"
    """The reader's side has it."""


class Committed(NamedTuple):
    """What a commit led to."""

    send: bool
    """The slot was asked for already: send it now."""
    replaced: int | None
    """A waiting slot that this one replaced; it is free again."""


class InputLedger:
    """The runner's books on input slots.

    :param slots: number of slots
    :param lossless: wait instead of replacing
    """

    def __init__(self, slots: int, *, lossless: bool = False) -> None:
        self.lossless = lossless
        self.credit = 0
        self._states = [SlotState.FREE] * slots
        self._free = list(reversed(range(slots)))
        self._pending: deque[int] = deque()

    def state(self, slot: int) -> SlotState:
        """State of one slot."""
        return self._states[slot]

    def count(self, state: SlotState) -> int:
        """How many slots are in a state."""
        return self._states.count(state)

    def acquire(self) -> int | None:
        """FREE → WRITING. Newest wins: with nothing free, the waiting slot is taken back.

        :returns: None when there is nothing to have
        """
        if self._free:
            slot = self._free.pop()
        elif self._pending and not self.lossless:
            slot = self._pending.popleft()
        else:
            return None
        self._states[slot] = SlotState.WRITING
        return slot

    def commit(self, slot: int) -> Committed:
        """WRITING → SENT if the worker asked for a frame, else → PENDING.

        :raises LedgerError: the slot is not being written
        """
        self._expect(slot, SlotState.WRITING)
        if self.credit:
            self.credit -= 1
            self._states[slot] = SlotState.SENT
            return Committed(send=True, replaced=None)
        replaced = self._pending.popleft() if self._pending and not self.lossless else None
        if replaced is not None:
            self._set_free(replaced)
        self._states[slot] = SlotState.PENDING
        self._pending.append(slot)
        return Committed(send=False, replaced=replaced)

    def abandon(self, slot: int) -> None:
        """WRITING → FREE: the writer has nothing to say after all."""
        self._expect(slot, SlotState.WRITING)
        self._set_free(slot)

    def demand(self, count: int) -> list[int]:
        """The worker asks for frames: what waits goes now (PENDING → SENT), the rest becomes credit."""
        self.credit += count
        send: list[int] = []
        while self.credit and self._pending:
            slot = self._pending.popleft()
            self._states[slot] = SlotState.SENT
            self.credit -= 1
            send.append(slot)
        return send

    def release(self, slot: int) -> None:
        """SENT → FREE: the worker does not look at it any more.

        :raises LedgerError: it was never sent, or was returned already
        """
        self._expect(slot, SlotState.SENT)
        self._set_free(slot)

    def start_session(self, *, lossless: bool) -> int:
        """Forget credit and what waits; SENT and WRITING slots stay with whoever has them.

        :returns: how many waiting slots were dropped
        """
        self.credit = 0
        self.lossless = lossless
        dropped = len(self._pending)
        while self._pending:
            self._set_free(self._pending.popleft())
        return dropped

    def _expect(self, slot: int, state: SlotState) -> None:
        if not 0 <= slot < len(self._states) or self._states[slot] is not state:
            raise LedgerError(f"input slot {slot} is not {state.value}")

    def _set_free(self, slot: int) -> None:
        self._states[slot] = SlotState.FREE
        self._free.append(slot)


class OutputLedger:
    """The worker's books on output slots."""

    def __init__(self, slots: int) -> None:
        self._states = [SlotState.FREE] * slots
        self._free = list(reversed(range(slots)))

    @property
    def free(self) -> int:
        """How many slots `take` could give."""
        return len(self._free)

    def take(self) -> int | None:
        """FREE → WRITING; None: the runner has them all."""
        if not self._free:
            return None
        slot = self._free.pop()
        self._states[slot] = SlotState.WRITING
        return slot

    def abandon(self, slot: int) -> None:
        """WRITING → FREE: the result could not be written."""
        self._move(slot, SlotState.WRITING, SlotState.FREE)
        self._free.append(slot)

    def send(self, slot: int) -> None:
        """WRITING → SENT."""
        self._move(slot, SlotState.WRITING, SlotState.SENT)

    def release(self, slot: int) -> None:
        """SENT → FREE."""
        self._move(slot, SlotState.SENT, SlotState.FREE)
        self._free.append(slot)

    def _move(self, slot: int, source: SlotState, target: SlotState) -> None:
        if not 0 <= slot < len(self._states) or self._states[slot] is not source:
            raise LedgerError(f"output slot {slot} is not {source.value}")
        self._states[slot] = target


class OutputReceipts:
    """The runner's books on output slots: held by its consumer, or given back but not yet told to the worker.

    Telling costs a system call and wakes the worker, so it waits for the next frame message unless the worker
    is about to run out of slots (`urgent`).
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._held: set[int] = set()
        self._owed: set[int] = set()

    @property
    def held(self) -> int:
        """How many slots the consumer has."""
        return len(self._held)

    @property
    def owes(self) -> bool:
        """Something was given back that the worker does not know of."""
        return bool(self._owed)

    @property
    def urgent(self) -> bool:
        """The worker can see at most one free slot although there are more."""
        return bool(self._owed) and self._slots - len(self._held) - len(self._owed) <= 1

    def receive(self, slot: int) -> None:
        """The worker gave us a slot.

        :raises LedgerError: we had it already
        """
        if not 0 <= slot < self._slots or slot in self._held or slot in self._owed:
            raise LedgerError(f"output slot {slot} was not the worker's to give")
        self._held.add(slot)

    def give_back(self, slot: int) -> None:
        """The consumer is done with a slot."""
        if slot not in self._held:
            raise LedgerError(f"output slot {slot} is not held")
        self._held.remove(slot)
        self._owed.add(slot)

    def take_owed(self) -> frozenset[int]:
        """What to tell the worker now."""
        owed, self._owed = frozenset(self._owed), set()
        return owed
