"""How many restarts there may be, and how long to wait before each: a pure calculation."""

from __future__ import annotations

from ._options import SupervisorOptions


class RestartBudget:
    """Restarts are spent one by one and earned back by good behaviour.

    The first restart in a row is immediate; the waits after it double. Being ready for `restart_refill_s`
    earns one restart back and makes the next wait the first again.
    """

    def __init__(self, options: SupervisorOptions) -> None:
        self._options = options
        self._left = options.restart_budget
        self._in_a_row = 0

    @property
    def left(self) -> int:
        """Restarts that may still be spent."""
        return self._left

    def earn(self, ready_s: float) -> None:
        """A worker has ended after having been ready for so long."""
        earned = int(ready_s // self._options.restart_refill_s)
        if earned:
            self._left = min(self._options.restart_budget, self._left + earned)
            self._in_a_row = 0

    def spend(self) -> float | None:
        """Take one restart.

        :returns: seconds to wait before it; None: there is none left
        """
        if not self._left:
            return None
        self._left -= 1
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        # capped before the power is taken: a budget may be large
        doublings = min(self._in_a_row - 2, 32)
        return min(self._options.backoff_first_s * 2.0**doublings, self._options.backoff_max_s)
