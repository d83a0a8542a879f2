"""Frames to and from one worker process: two rings, one socket, the books. It dies with the process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..ring import InputLedger, LedgerError, OutputReceipts, Ring
from ..wire import WireError, frames
from ._books import Books


class FrameLink:
    """The runner's end of the frame path.

    Sends never block: what is under way is bounded by the number of slots, far below a socket's buffer.

    :param books: its lock is held around every change
    :param on_message: called on the loop with `frames.Result` and `frames.Returned`
    :param on_broken: called on the loop once, when the worker broke the protocol
    """

    def __init__(
        self,
        slots: int,
        max_frame_bytes: int,
        books: Books,
        on_message: Callable[[FrameLink, frames.Result | frames.Returned], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._lock = books.lock
        self._books_changed = books.changed
        self._on_message = on_message
        self._on_broken = on_broken
        self._inputs = Ring.create(slots, max_frame_bytes)
        self._outputs = Ring.create(slots, max_frame_bytes)
        self._ledger = InputLedger(slots)
        self._receipts = OutputReceipts(slots)
        self._pending: dict[int, tuple[int, bytearray]] = {}
        self._socket, self._child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def child_fds(self) -> tuple[int, int, int]:
        """Descriptors for the worker: frame socket, input ring, output ring."""
        return self._child_socket.fileno(), self._inputs.fd, self._outputs.fd

    def connect(self) -> None:
        """The worker has its descriptors: begin to listen."""
        self._child_socket.close()
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Close all descriptors; slots that somebody still holds stay readable until let go."""
        if self._closed:
            return
        self._loop.remove_reader(self._socket)
        with self._lock:
            self._closed = True
            self._socket.close()
            self._child_socket.close()
            self._inputs.close()
            self._outputs.close()

    # Input; the caller holds the lock

    def start_session(self, *, lossless: bool) -> None:
        """Begin anew: no demand, nothing waiting."""
        self._ledger.start_session(lossless=lossless)
        self._pending.clear()

    def acquire(self, height: int, width: int) -> tuple[int, NDArray[np.uint8], int | None] | None:
        """A free input slot.

        :returns: its index, its picture (height, width, 3), and the number of the waiting frame that gave its
            place, if any
        :raises ValueError: the picture does not fit
        """
        index = self._ledger.acquire()
        if index is None:
            return None
        replaced = self._pending.pop(index, None)
        try:
            if height > frames.MAX_SIDE_PIXELS or width > frames.MAX_SIDE_PIXELS:
                raise ValueError(
                    f"a picture of {width}x{height} is longer than {frames.MAX_SIDE_PIXELS} pixels"
                )
            picture = self._inputs.array(index, height, width)
        except ValueError:
            self._ledger.abandon(index)
            raise
        return index, picture, None if replaced is None else replaced[0]

    def commit(self, message: frames.FrameReady) -> int | None:
        """Send a frame, or let it wait.

        :returns: number of the waiting frame that it replaced, if any
        :raises WireError: a number of it does not fit; the slot still is the writer's
        """
        packet = frames.encode(message)
        send, replaced = self._ledger.commit(message.slot)
        if send:
            self._send_frame(packet)
            return None
        self._pending[message.slot] = message.seq, packet
        return None if replaced is None else self._pending.pop(replaced)[0]

    def abandon(self, index: int) -> None:
        """An input slot was acquired for nothing."""
        self._ledger.abandon(index)
        self._books_changed.notify_all()

    def demand(self, count: int) -> None:
        """The worker asks for frames of the session of the moment. Takes the lock itself."""
        with self._lock:
            for slot in self._ledger.demand(count):
                self._send_frame(self._pending.pop(slot)[1])

    # Output

    def output_array(self, result: frames.Result) -> NDArray[np.uint8]:
        """(H, W, 3) view of a result's picture."""
        return self._outputs.array(result.slot, result.height, result.width)

    def release_output(self, index: int) -> None:
        """The consumer is done with an output slot. Thread-safe."""
        with self._lock:
            self._receipts.give_back(index)
            if self._receipts.urgent:
                self._tell_freed()

    def _readable(self) -> None:
        try:
            packet = self._socket.recv(frames.MESSAGE_BYTES + 1)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:  # the process has ended; its supervisor sees that elsewhere
            self._loop.remove_reader(self._socket)
            return
        try:
            message = self._book(frames.decode(packet))
        except (WireError, LedgerError, ValueError) as error:
            self._loop.remove_reader(self._socket)
            self._on_broken(f"the worker broke the frame protocol: {error}")
            return
        self._on_message(self, message)

    def _book(self, message: frames.FrameMessage) -> frames.Result | frames.Returned:
        if not isinstance(message, frames.Result | frames.Returned):
            raise WireError(f"{type(message).__name__} is the runner's to send")
        with self._lock:
            if isinstance(message, frames.Result):
                self._outputs.array(message.slot, message.height, message.width)
                self._receipts.receive(message.slot)
                if self._receipts.urgent:
                    self._tell_freed()
            for slot in message.freed:
                self._ledger.release(slot)
            if message.freed and self._ledger.lossless:
                self._books_changed.notify_all()
        return message

    def _send_frame(self, packet: bytearray) -> None:
        if self._receipts.owes:
            frames.set_freed(packet, self._receipts.take_owed())
        self._send(packet)

    def _tell_freed(self) -> None:
        self._send(frames.encode(frames.OutputsFreed(self._receipts.take_owed())))

    def _send(self, packet: bytearray) -> None:
        if self._closed:
            return
        try:
            self._socket.send(packet, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return  # its supervisor sees the end of the process
