"""Which parameters the next worker is given. A pure calculation; the clock is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEATHS_TO_TAKE_BACK = 2
"""One may be an accident, of which the parameters are innocent."""
HARMLESS_S = 2.0
"""A worker that takes other parameters after this time was alive, and neither hung nor crashed by the last ones."""


class ParamsMemory:
    """Remembers the parameters in force, and those before them that have proved harmless.

    Parameters are trusted once a worker has lived with them for the probation, or well enough to take others.
    When workers die within it, one after the other, the parameters are suspected to kill, and the trusted ones
    are taken instead: otherwise one bad value would use up every worker, here and, as gateways hand it on,
    elsewhere.

    :param probation_s: must be longer than it takes to notice that a worker hangs
    """

    def __init__(self, probation_s: float) -> None:
        self.current: Mapping[str, Any] | None = None
        """What the next worker is to begin with; None: the pipeline's own."""
        self._trusted: Mapping[str, Any] | None = None
        self._probation_s = probation_s
        self._since_s: float | None = None
        self._deaths = 0

    def applied(self, params: Mapping[str, Any], now_s: float) -> None:
        """Parameters are in force: a new worker began with them, or a change was taken."""
        changed = params != self.current
        well = changed and not self._deaths
        self._trust(now_s, min(HARMLESS_S, self._probation_s) if well else self._probation_s)
        if changed:
            self._deaths = 0
        if changed or self._since_s is None:
            self._since_s = now_s
        self.current = dict(params)

    def died(self, now_s: float) -> Mapping[str, Any] | None:
        """The worker is dead, perhaps before it was ready.

        :returns: parameters that are taken back, if these are now suspected; `current` then are older ones
        """
        self._trust(now_s, self._probation_s)
        self._since_s = None
        suspect = self.current
        if suspect is None or suspect == self._trusted:
            return None
        self._deaths += 1
        if self._deaths < DEATHS_TO_TAKE_BACK:
            return None
        self.current, self._deaths = self._trusted, 0
        return suspect

    def begin(self) -> None:
        """Another user: what is in force was not theirs, and is nothing to come back to."""
        self._trusted = self._since_s = None
        self._deaths = 0

    def forget(self) -> None:
        """The user has gone: the next worker begins as the first one did."""
        self.begin()
        self.current = None

    def _trust(self, now_s: float, after_s: float) -> None:
        if self._since_s is not None and now_s - self._since_s >= after_s:
            self._trusted, self._deaths = self.current, 0
