"""Tells the runner what went wrong, not more often than somebody could read it."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable

from ..wire import control

_log = logging.getLogger("ai_runner_base.worker")

_MIN_INTERVAL_S = 0.1
_SAME_INTERVAL_S = 1.0
"""A pipeline that fails with every frame says the same each time; its log must not fill a disk."""
_MAX_TEXT = 16 * 1024


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Reporter:
    """Logs and reports errors of the pipeline.

    :param send: gives a message to the runner; from any thread
    """

    def __init__(self, send: Callable[[control.ControlMessage], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._last_s = -math.inf
        self._last_message = ""
        self._suppressed = 0

    def exception(self, error: BaseException, seq: int = 0) -> None:
        """The pipeline raised, `seq` being its frame, or 0."""
        trace = "".join(traceback.format_exception(error))
        if self.report(describe(error), trace, seq):
            _log.error("frame %d: %s", seq, trace) if seq else _log.error("%s", trace)

    def report(self, message: str, trace: str = "", seq: int = 0) -> bool:
        """Report a message.

        :returns: false when the last report was a moment ago: this one is only counted
        """
        with self._lock:
            now = time.monotonic()
            interval_s = _SAME_INTERVAL_S if message == self._last_message else _MIN_INTERVAL_S
            if now - self._last_s < interval_s:
                self._suppressed += 1
                return False
            suppressed, self._suppressed, self._last_s = self._suppressed, 0, now
            self._last_message = message
        self._send(control.Reported(message[:_MAX_TEXT], trace[-_MAX_TEXT:], seq, suppressed))
        return True
