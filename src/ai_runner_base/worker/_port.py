"""The worker's end of the frame path: slots in shared memory and the socket that tells about them."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import PipelineError
from ..pipeline import VideoFrame, picture_layout, to_uint8
from ..ring import OutputLedger, Ring
from ..wire import frames

_PTS_REMEMBERED = 64

Picture = tuple[int, int, int, int, Fraction]
"""slot, height, width, pts, time base"""


@dataclass
class Session:
    """One stream, as the worker sees it.

    :param seqs: sequence number by (pts, time base) of the last frames, to find the input of an output
    """

    number: int
    request_id: str
    seqs: dict[tuple[int, Fraction], int] = field(default_factory=dict)

    def remember(self, message: frames.FrameReady) -> None:
        """Note a frame's time. Bounded."""
        self.seqs[message.pts, message.time_base] = message.seq
        if len(self.seqs) > _PTS_REMEMBERED:
            del self.seqs[next(iter(self.seqs))]


class _Lease:
    """Owner of one slot's memory in NumPy's eyes: when the last view of it goes, the slot goes back.

    So a pipeline may keep a picture for as long as it likes, and no later frame is ever written over it.

    :param interface: NumPy's array interface of the slot
    """

    __slots__ = ("__array_interface__", "_free", "_slot")

    def __init__(self, free: Callable[[int], None], slot: int, interface: dict[str, Any]) -> None:
        self._free = free
        self._slot = slot
        self.__array_interface__ = interface

    def __del__(self) -> None:
        self._free(self._slot)


class FramePort:
    """Frames in, results out.

    Attribute ``collector`` is the ident of a thread that calls `flush` before it waits: slots freed in it
    travel with its next message. None: they are told at once. ``last_seq`` is the frame begun last.
    """

    def __init__(self, sock: socket.socket, inputs: Ring, outputs: Ring) -> None:
        self.socket = sock
        self.session: Session | None = None
        self.collector: int | None = None
        self.last_seq = 0
        self.ledger = OutputLedger(outputs.slots)
        self._inputs = inputs
        self._outputs = outputs
        self._paused = False
        self._resumed_ns = 0
        self._most_leased = inputs.slots - 2  # the runner writes one and keeps one waiting
        self._leased: set[int] = set()
        self._interfaces: dict[int, dict[str, Any]] = {}
        self._freed: deque[int] = deque()
        self._demand_lock = threading.Lock()
        self._owed_demand = 0

    # Input

    def receive(self) -> frames.FrameMessage | None:
        """The next message; blocks as the socket does. None: the runner is gone."""
        packet = self.socket.recv(frames.MESSAGE_BYTES + 1)
        return frames.decode(packet) if packet else None

    def is_wanted(self, message: frames.FrameReady) -> bool:
        """Whether a frame belongs to the open session, and to the time after a reload's waiting pictures."""
        return self.is_open(message.session) and message.sent_ns >= self._resumed_ns

    def frame(self, message: frames.FrameReady) -> VideoFrame:
        """A frame over its slot, without a copy; the slot goes back when the last view of it is gone.

        A pipeline that keeps more pictures than the ring can spare is given copies.
        """
        self.last_seq = message.seq
        slot, height, width = message.slot, message.height, message.width
        if len(self._leased) >= self._most_leased:
            picture = self._inputs.array(slot, height, width).copy()
            self.free(slot)
        else:
            self._leased.add(slot)
            picture = np.asarray(_Lease(self.free, slot, self._interface(slot, height, width)))
        return VideoFrame(picture, message.pts, message.time_base)

    def _interface(self, slot: int, height: int, width: int) -> dict[str, Any]:
        """Array interface of a picture in a slot; NumPy takes longer to make one than a small frame may last."""
        known = self._interfaces.get(slot)
        if known is None or known["shape"] != (height, width, 3):
            address = self._inputs.array(slot, height, width).ctypes.data
            known = {"version": 3, "shape": (height, width, 3), "typestr": "|u1", "data": (address, False)}
            self._interfaces[slot] = known
        return known

    def free(self, slot: int) -> None:
        """An input slot is not looked at any more. From any thread, also from the garbage collector."""
        self._leased.discard(slot)
        if threading.get_ident() == self.collector:
            self._freed.append(slot)
        else:
            self._send(frames.Returned(0, freed=frozenset((slot,))))

    # Demand

    def open_session(self, session: Session, frames_ahead: int) -> None:
        """Begin a stream and ask for its first frames."""
        with self._demand_lock:
            self.session = session
            self._owed_demand = frames_ahead
        self.flush()

    def close_session(self, number: int) -> None:
        """Ask for nothing more."""
        with self._demand_lock:
            if self.is_open(number):
                self.session = None

    def is_open(self, number: int) -> bool:
        """Whether this is the session of the moment."""
        session = self.session
        return session is not None and session.number == number

    def ask(self, number: int) -> None:
        """Ask for one more frame of a session with the next message.

        It is held back while no output slot is free, so that the runner keeps the newest frame until the
        result of it has somewhere to go, and while paused.
        """
        with self._demand_lock:
            if self.is_open(number):
                self._owed_demand += 1

    def flush(self) -> None:
        """Send what is owed, if anything: freed slots, demand."""
        session = self.session
        number = session.number if session is not None else 0
        owed = frames.Returned(number, 0, self._take_demand(number), self._take_freed())
        if owed.demand or owed.freed:
            self._send(owed)

    def pause(self) -> None:
        """Ask for no frames until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Ask again, if it was paused; frames that were sent before this moment are out of date then."""
        if not self._paused:
            return
        self._paused = False
        self._resumed_ns = time.monotonic_ns()
        self.flush()

    # Output

    def write(self, slot: int, frame: VideoFrame) -> Picture:
        """Convert a picture into an output slot. From the thread that runs the frames.

        :returns: the fields of a `frames.Result` from ``slot`` to ``time_base``
        :raises PipelineError: it is no picture, or too large; the slot is free again
        """
        try:
            height, width = self._convert(slot, frame.data)
            frames.check_picture(height, width, frame.pts, frame.time_base)
        except ValueError as error:
            self.ledger.abandon(slot)
            raise PipelineError(f"the pipeline's frame cannot be sent: {error}") from error
        except BaseException:
            self.ledger.abandon(slot)
            raise
        self.ledger.send(slot)
        return slot, height, width, frame.pts, frame.time_base

    def _convert(self, slot: int, data: Any) -> tuple[int, int]:
        if isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 3 and data.shape[2] == 3:
            # `to_uint8` would do the same after looking at everything else that it could be.
            height, width, _ = data.shape
            self._outputs.array(slot, height, width)[...] = data
        else:
            layout = picture_layout(data)
            height, width = layout.height, layout.width
            to_uint8(data, self._outputs.array(slot, height, width))
        return height, width

    def send(self, message: frames.Result | frames.Returned) -> None:
        """Send a message, with all that is owed.

        :raises WireError: a number does not fit, such as a pts beyond 64 bits
        """
        owed = self._take_demand(message.session), self._take_freed()
        if isinstance(message, frames.Result):
            self._send(frames.Result(*message[:-2], *owed))
        else:
            self._send(frames.Returned(message.session, message.seq, *owed))

    def _take_demand(self, number: int) -> int:
        with self._demand_lock:
            if self._paused or not self.ledger.free or not self.is_open(number):
                return 0
            demand, self._owed_demand = self._owed_demand, 0
            return demand

    def _take_freed(self) -> frozenset[int]:
        if not self._freed:
            return frames.NO_SLOTS
        freed = set()
        try:
            while self._freed:
                freed.add(self._freed.popleft())
        except IndexError:
            pass  # another thread took the last one to send it itself
        return frozenset(freed)

    def _send(self, message: frames.Result | frames.Returned) -> None:
        try:
            self.socket.send(frames.encode(message), socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return  # the control thread notices too
