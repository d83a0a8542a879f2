"""The lock around the books of frames."""

from __future__ import annotations

import threading


class Books:
    """Guards what decode thread, encode thread and event loop share: slots, counters, frames in flight.

    Held for microseconds, never across a wait. ``lock`` is what to hold; ``changed`` wakes lossless writers.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
