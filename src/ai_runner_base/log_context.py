"""Which stream a log line belongs to, by ids that travel with the asyncio task; and how many lines were lost."""

from __future__ import annotations

import threading
from contextvars import ContextVar

_IDS = ("gateway_request_id", "manifest_id", "stream_id")
MAX_ID_CHARS = 200
_current: ContextVar[dict[str, str] | None] = ContextVar("stream_ids", default=None)


def set_stream_ids(*, gateway_request_id: str, manifest_id: str, stream_id: str) -> None:
    """Name the stream of this task and of the tasks that it starts.

    The ids come from callers: what would break a log line apart, or fake another one, is escaped.
    """
    ids = {"gateway_request_id": gateway_request_id, "manifest_id": manifest_id, "stream_id": stream_id}
    _current.set({key: _one_word(value) for key, value in ids.items()})


def stream_ids() -> dict[str, str]:
    """Return the ids of the current task; empty strings outside a stream."""
    return _current.get() or dict.fromkeys(_IDS, "")


def _one_word(text: str) -> str:
    shown = text[:MAX_ID_CHARS].encode("unicode_escape").decode()
    return shown.replace(" ", "\\x20")


class LostLines:
    """Counts the log lines of this process that nobody took."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count one. Any thread."""
        with self._lock:
            self.count += 1


lost_lines = LostLines()
