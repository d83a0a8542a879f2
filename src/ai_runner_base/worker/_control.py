"""The worker's end of the control socket: a thread that answers pings whatever the pipeline does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from ..wire import WireError, control

_CHUNK_BYTES = 64 * 1024


class Vitals:
    """What a ping is answered with. Written by the threads that work, read by the control thread."""

    def __init__(self) -> None:
        self._busy_since = 0.0
        self._waits = False
        self._beat_due_since = 0.0
        self._call_soon: Callable[[Callable[[], None]], object] | None = None

    def frame_begins(self) -> None:
        """The pipeline has a frame from now on."""
        self._busy_since = time.monotonic()

    def frame_ends(self) -> None:
        """It is done with it."""
        self._busy_since = 0.0

    @contextlib.contextmanager
    def frame_waits(self) -> Iterator[None]:
        """For this long the frame waits for the runner, not for the pipeline."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            if self._busy_since:
                self.frame_begins()

    def watch_loop(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """From now on each ping also runs a callback on the event loop.

        :param call_soon: the loop's ``call_soon_threadsafe``
        """
        self._call_soon = call_soon

    def pong(self, ping: control.Ping) -> control.Pong:
        """The answer to a ping."""
        now, busy_since = time.monotonic(), self._busy_since
        frame_s = now - busy_since if busy_since and not self._waits else 0.0
        return control.Pong(
            ping.request, frame_in_progress_s=frame_s, loop_blocked_s=self._loop_blocked_s(now)
        )

    def _loop_blocked_s(self, now: float) -> float:
        due_since = self._beat_due_since
        if due_since:
            return now - due_since
        if self._call_soon is not None:
            self._beat_due_since = now
            self._call_soon(self._beat)
        return 0.0

    def _beat(self) -> None:
        self._beat_due_since = 0.0


class ControlThread:
    """Reads the control socket until it ends; `send` works from any thread.

    :param on_message: called in this thread with everything but pings
    :param on_end: called in this thread when the runner is gone
    """

    def __init__(
        self,
        sock: socket.socket,
        vitals: Vitals,
        on_message: Callable[[control.ControlMessage], None],
        on_end: Callable[[], None],
    ) -> None:
        self._socket = sock
        self._vitals = vitals
        self._on_message = on_message
        self._on_end = on_end
        self._send_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ai-runner-control", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def send(self, message: control.ControlMessage) -> None:
        """Send one message. A runner that is gone is no error here: the reading side notices.

        :raises WireError: the message is too large
        """
        packet = control.encode(message)
        with self._send_lock:
            try:
                self._socket.sendall(packet)
            except (BrokenPipeError, ConnectionResetError):
                return

    def _run(self) -> None:
        decoder = control.Decoder()
        try:
            while chunk := self._socket.recv(_CHUNK_BYTES):
                for message in decoder.feed(chunk):
                    self._handle(message)
        except (WireError, ConnectionResetError):
            pass  # nothing that this side could repair: as good as a runner that is gone
        self._on_end()

    def _handle(self, message: control.ControlMessage) -> None:
        if isinstance(message, control.Ping):
            self.send(self._vitals.pong(message))
        else:
            self._on_message(message)
