"""Events of a stream: what happened, in the shapes that Livepeer's gateways read (live runner contract 5).

An event is one JSON object ``{"event": {...}, "queue_event_type": "..."}``. Senders never wait: each event is handed to
listeners that keep a bounded queue of their own, and the last ones stay readable in ``GET /streams/{id}``.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

TRACE = "stream_trace"
STREAM = "ai_stream_events"
STATUS_INTERVAL_S = 10.0
"""A gateway moves a stream whose events channel is silent for 30 s."""
ERROR_INTERVAL_S = 1.0
KEPT_EVENTS = 50
MAX_MESSAGE = 2000
"""Characters of an error's text, of whose end the cause is part; a pipeline may put a whole tensor into it."""
MAX_LOG_CHARACTERS = 20_000
"""Of the last lines in a restart event."""

Listener = Callable[[dict[str, Any]], object]


def now_ms() -> int:
    """Return milliseconds since the epoch, the unit of every timestamp in events."""
    return time.time_ns() // 1_000_000


def shortened(text: str, limit: int) -> str:
    """Return the beginning and the end of a text that is longer than `limit` characters."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} […] {text[-half:]}"


def last_lines(lines: list[str], limit: int) -> list[str]:
    """Return the last lines that have at most `limit` characters in all."""
    kept: list[str] = []
    for line in reversed(lines):
        limit -= len(line)
        if limit < 0:
            break
        kept.append(line)
    return kept[::-1]


class Events:
    """Fans events out; at most one `error` a second gets through, the newest one."""

    def __init__(self, pipeline: str, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._pipeline = pipeline
        self._clock_s = clock_s
        self._listeners: list[Listener] = []
        self._pending_error: str | None = None
        self._last_error_s: float | None = None
        self.recent: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every later event, on the event loop."""
        self._listeners.append(listener)

    def emit(self, kind: str, queue: str = STREAM, **fields: Any) -> None:
        """Send one event of type `kind`."""
        event = {"type": kind, "timestamp": now_ms(), **fields}
        body = {"event": event, "queue_event_type": queue}
        if kind != "status":
            self.recent.append(event)
        for listener in self._listeners:
            listener(body)

    def error(self, message: str) -> None:
        """Report an error; within a second of the last one it waits for `tick`, replacing a waiting one."""
        self._pending_error = shortened(message, MAX_MESSAGE)
        self.tick()

    def tick(self) -> None:
        """Send the waiting error if a second has passed. The stream calls this at least once a second."""
        now_s = self._clock_s()
        if self._pending_error is None:
            return
        if self._last_error_s is not None and now_s - self._last_error_s < ERROR_INTERVAL_S:
            return
        self._last_error_s, message = now_s, self._pending_error
        self._pending_error = None
        self.emit("error", pipeline=self._pipeline, message=message, time=time.time())

    def restart(self, count: int, logs: list[str], reason: str) -> None:
        """Report that the worker was restarted, with its last lines."""
        self.emit(
            "restart",
            pipeline=self._pipeline,
            restart_count=count,
            restart_time=time.time(),
            restart_logs=last_lines(logs, MAX_LOG_CHARACTERS),
            reason=reason,
        )
