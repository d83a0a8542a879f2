"""One stream's way to a worker and back. Survives restarts of the worker."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..wire import WireError
from ..wire.frames import FrameReady, Result, Returned
from ._books import Books

if TYPE_CHECKING:
    from ._link import FrameLink


class Stamps(NamedTuple):
    """When a frame passed each station, in nanoseconds of CLOCK_MONOTONIC; 0 where it did not.

    The caller of `WorkerSession.commit` fills in the first two, the session the rest.
    """

    received_ns: int = 0
    """The bytes were there."""
    decoded_ns: int = 0
    """The picture was decoded."""
    committed_ns: int = 0
    """It was given to the session."""
    taken_ns: int = 0
    """The worker took it."""
    answered_ns: int = 0
    """The pipeline had its answer."""
    returned_ns: int = 0
    """The answer was back in this process."""


_NO_STAMPS = Stamps()


@dataclass(slots=True)
class SessionCounters:
    """Frames of one session, counted up.

    ``committed == replaced + lost + answered + unanswered`` once the session is drained.
    """

    committed: int = 0
    replaced: int = 0
    """A newer frame came before the worker had asked for this one."""
    lost: int = 0
    """Committed, but the worker died, was away, or the session closed."""
    answered: int = 0
    """Input frames that came back as at least one output."""
    unanswered: int = 0
    """The pipeline raised, or gave nothing for it."""
    returned: int = 0
    """Output frames."""
    refused: int = 0
    """`acquire` found no slot although the worker was ready."""


class InputSlot:
    """A place for one picture, yours until `WorkerSession.commit` or `WorkerSession.abandon`.

    :param link: where it belongs; for the session
    :param index: which slot it is; for the session
    :param array: (H, W, 3) uint8 RGB in shared memory: write the picture here
    """

    __slots__ = ("array", "index", "link")

    def __init__(self, link: FrameLink, index: int, array: NDArray[np.uint8]) -> None:
        self.link = link
        self.index = index
        self.array = array


class WorkerOutput:
    """One result, in shared memory until `release` (thread-safe, once is enough, more does no harm).

    :param array: (H, W, 3) uint8 RGB, a view that is valid until `release`
    :param pts: of the frame that the pipeline returned, in units of `time_base`
    :param seq: number of the input frame with this pts; 0 when the pipeline made up a time of its own
    :param stamps: of that input frame; zeros when there is none
    :param is_loading_frame: the pipeline's own waiting picture
    """

    __slots__ = ("_link", "_slot", "array", "is_loading_frame", "pts", "seq", "stamps", "time_base")

    def __init__(self, link: FrameLink, result: Result, stamps: Stamps) -> None:
        self._link: FrameLink | None = link
        self._slot = result.slot
        self.array = link.output_array(result)
        self.pts = result.pts
        self.time_base = result.time_base
        self.seq = result.seq
        self.stamps = stamps
        self.is_loading_frame = result.is_loading_frame

    def release(self) -> None:
        """Give the slot back to the worker."""
        link, self._link = self._link, None
        if link is not None:
            link.release_output(self._slot)


class WorkerSession:
    """Made by `Supervisor.open_session`. `acquire`, `commit`, `abandon`, `ready` are thread-safe.

    :param books: guards the books of session and link; lossless writers wait on it
    """

    def __init__(
        self,
        number: int,
        request_id: str,
        *,
        lossless: bool,
        books: Books,
        seqs: Iterator[int],
        on_output: Callable[[WorkerOutput], None],
        on_error: Callable[[str], None],
        on_close: Callable[[WorkerSession], None],
    ) -> None:
        self.number = number
        self.request_id = request_id
        self.lossless = lossless
        self.counters = SessionCounters()
        self.on_error = on_error
        self._lock = books.lock
        self._books_changed = books.changed
        self._seqs = seqs
        self._on_output = on_output
        self._on_close = on_close
        self._link: FrameLink | None = None
        self._takes_frames = True
        self._over = False
        self._in_flight: dict[int, tuple[Stamps, int]] = {}
        self._last_answered = (0, _NO_STAMPS, 0)
        self._progress = asyncio.Event()
        self.log_context = contextvars.copy_context()

    def log_as_here(self) -> None:
        """From now on, what the worker writes is logged as what the calling task logs: with its stream's ids."""
        self.log_context = contextvars.copy_context()

    @property
    def ready(self) -> bool:
        """Whether somebody is there to take a frame; false while the worker loads, reloads or restarts."""
        return self._link is not None and self._takes_frames

    # From any thread

    def acquire(self, width: int, height: int, timeout_s: float | None = None) -> InputSlot | None:
        """A place to write the next picture to.

        Live, it never waits. Lossless, it waits for a free slot, through restarts of the worker if need be.

        :param timeout_s: lossless only; None: no limit
        :returns: None when nobody takes frames, no slot is free (live), the time is over (lossless), or the
            session is closed or its worker failed for good
        :raises ValueError: the picture is larger than a slot
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            while not self._over:
                slot = self._try_acquire(width, height)
                if slot is not None or not self.lossless:
                    return slot
                remaining_s = None if deadline_s is None else deadline_s - time.monotonic()
                if not self._books_changed.wait(remaining_s):
                    return None
        return None

    def commit(self, slot: InputSlot, pts: int, time_base: Fraction, stamps: Stamps = _NO_STAMPS) -> int:
        """Give the picture to the worker: at once if it has asked for one, else as soon as it does.

        Live, it takes the place of a picture that still waits.

        :returns: the frame's number, for `WorkerOutput.seq`
        :raises WireError: pts or time base do not fit the protocol; the slot is free again
        """
        height, width = slot.array.shape[:2]
        link, now_ns = slot.link, time.monotonic_ns()
        with self._lock:
            seq = next(self._seqs)
            if link is not self._link:
                link.abandon(slot.index)
                self.counters.committed += 1
                self.counters.lost += 1
                return seq
            message = FrameReady(self.number, seq, slot.index, height, width, pts, time_base, now_ns)
            try:
                replaced = link.commit(message)
            except WireError:
                link.abandon(slot.index)
                raise
            self.counters.committed += 1
            self._in_flight[seq] = stamps, now_ns
            if replaced is not None:
                self._note_replaced(replaced)
            return seq

    def abandon(self, slot: InputSlot) -> None:
        """Give a slot back without a picture."""
        with self._lock:
            slot.link.abandon(slot.index)

    # On the loop

    @property
    def last_seq(self) -> int:
        """Number of the frame committed last that is still under way; 0: none is."""
        with self._lock:
            return max(self._in_flight, default=0)

    async def drain(self, timeout_s: float, up_to: int | None = None) -> bool:
        """Wait until everything committed is accounted for: back, unanswered, or lost with a worker.

        :param timeout_s: longest wait without any progress; each frame that comes back starts it anew
        :param up_to: only the frames up to this number
        :returns: false when it ran out: the pipeline keeps frames to itself
        """
        while self._is_under_way(up_to):
            self._progress.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._progress.wait()
            except TimeoutError:
                return not self._is_under_way(up_to)
        return True

    def _is_under_way(self, up_to: int | None) -> bool:
        with self._lock:
            return any(up_to is None or seq <= up_to for seq in self._in_flight)

    def close(self) -> None:
        """End the session; what is under way is lost, writers that wait wake up. May be called twice."""
        if not self._over:
            self._on_close(self)

    # For the supervisor, on the loop

    def attach(self, link: FrameLink) -> None:
        """A worker is ready for this session."""
        with self._lock:
            link.start_session(lossless=self.lossless)
            self._link = link
            self._takes_frames = True
            self._books_changed.notify_all()

    def take_frames(self, wanted: bool) -> None:
        """Whether frames are welcome; during a reload they may not be."""
        with self._lock:
            self._takes_frames = wanted
            self._books_changed.notify_all()

    def detach(self, *, over: bool = False) -> None:
        """The worker is gone: what it had is lost.

        :param over: no other will come
        """
        with self._lock:
            self._link = None
            self._over = self._over or over
            self.counters.lost += len(self._in_flight)
            self._in_flight.clear()
            self._books_changed.notify_all()
        self._progress.set()

    def returned(self, link: FrameLink, message: Result | Returned) -> None:
        """The worker has sent something for this session."""
        if isinstance(message, Result):
            output = WorkerOutput(link, message, self._settle(message))
            self.counters.returned += 1
            self._deliver(output)
        elif message.seq:
            with self._lock:
                self.counters.unanswered += self._in_flight.pop(message.seq, None) is not None
        self._progress.set()

    def _deliver(self, output: WorkerOutput) -> None:
        try:
            self._on_output(output)
        except BaseException:
            output.release()
            raise

    def _settle(self, result: Result) -> Stamps:
        """Book an answer. Results come in order, so frames before this one stay without."""
        with self._lock:
            if result.seq in self._in_flight:
                for seq in [seq for seq in self._in_flight if seq < result.seq]:
                    del self._in_flight[seq]
                    self.counters.unanswered += 1
                self._last_answered = result.seq, *self._in_flight.pop(result.seq)
                self.counters.answered += 1
        seq, (received_ns, decoded_ns, *_), committed_ns = self._last_answered
        if seq != result.seq:
            received_ns = decoded_ns = committed_ns = 0
        now_ns = time.monotonic_ns()
        return Stamps(received_ns, decoded_ns, committed_ns, result.taken_ns, result.answered_ns, now_ns)

    def _try_acquire(self, width: int, height: int) -> InputSlot | None:
        link = self._link
        if link is None or not self._takes_frames:
            return None
        acquired = link.acquire(height, width)
        if acquired is None:
            self.counters.refused += not self.lossless
            return None
        index, array, replaced = acquired
        if replaced is not None:
            self._note_replaced(replaced)
        return InputSlot(link, index, array)

    def _note_replaced(self, seq: int) -> None:
        self._in_flight.pop(seq, None)
        self.counters.replaced += 1
