"""What is going on, as plain events: sent through a pipe by the working process, or shown at once."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..workspace import Step

_ADVANCE_INTERVAL_S = 0.1


class EventReporter:
    """A `workspace.Reporter` that turns everything into events.

    Events: ``step`` (id, stage, name, total_bytes), ``advance`` (id, size_bytes), ``end`` (id, failed), ``note`` and
    ``detail`` (text).

    :param send: takes one event at a time; called under a lock, from any thread
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def send(self, event: str, **values: Any) -> None:
        """Pass on one event."""
        with self._lock:
            self._send({"event": event, **values})

    @contextlib.contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Step]:
        """Show a piece of work until the context ends."""
        number = next(self._ids)
        self.send("step", id=number, stage=stage, name=name, total_bytes=total_bytes)
        step = _Step(self, number)
        failed = True
        try:
            yield step
            failed = False
        finally:
            step.flush()
            self.send("end", id=number, failed=failed)

    def note(self, message: str) -> None:
        """Print one line that stays."""
        self.send("note", text=message)

    def detail(self, message: str) -> None:
        """Write one line for ``-v`` and the log."""
        self.send("detail", text=message)


class _Step:
    """Adds up what was done and tells it a few times a second."""

    def __init__(self, reporter: EventReporter, number: int) -> None:
        self._reporter, self._number = reporter, number
        self._lock = threading.Lock()
        self._pending_bytes, self._told_s = 0, 0.0

    def advance(self, size_bytes: int) -> None:
        with self._lock:
            self._pending_bytes += size_bytes
            due = time.monotonic() - self._told_s >= _ADVANCE_INTERVAL_S
        if due:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            size_bytes, self._pending_bytes = self._pending_bytes, 0
            self._told_s = time.monotonic()
        if size_bytes:
            self._reporter.send("advance", id=self._number, size_bytes=size_bytes)
