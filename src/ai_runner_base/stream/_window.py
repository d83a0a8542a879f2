"""How many messages may be on their way to a peer at once: enough to fill the wire, too few to queue on it.

The idea is TCP Vegas's: as long as answers come back about as fast as the fastest one lately, the wire is not full
and one more may be sent ahead; when they take markedly longer, something queues, and fewer are sent ahead.
"""

from __future__ import annotations

from collections import deque

LEAST, MOST = 1, 8
_START = 2
_SLACK_S = 0.030
"""Answers that are late by less than about one frame are jitter, not a queue."""
_FORGET = 1.01
"""The fastest answer counts a little less with each later one, so that a longer way is accepted in time."""


class Window:
    """Counts messages that are not answered yet. Answers come in the order of the messages."""

    def __init__(self) -> None:
        self.limit = _START
        self._sent_s: deque[float] = deque()
        self._fastest_s = float("inf")

    @property
    def in_flight(self) -> int:
        """Messages without an answer."""
        return len(self._sent_s)

    @property
    def room(self) -> bool:
        """Whether another message may be sent."""
        return self.in_flight < self.limit

    def sent(self, now_s: float) -> None:
        """Note a message, sent at the monotonic time `now_s`."""
        self._sent_s.append(now_s)

    def answered(self, now_s: float) -> float | None:
        """Note an answer to the oldest message.

        :returns: how long it took, in seconds; None when nothing was asked
        """
        if not self._sent_s:
            return None
        was_full = not self.room
        took_s = now_s - self._sent_s.popleft()
        self._fastest_s = min(took_s, self._fastest_s * _FORGET)
        if took_s > 2 * self._fastest_s + _SLACK_S:
            self.limit = max(LEAST, self.limit - 1)
        elif was_full:
            self.limit = min(MOST, self.limit + 1)
        return took_s
