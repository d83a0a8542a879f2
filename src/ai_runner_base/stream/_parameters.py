"""The parameters of one stream: those in force, and changes on their way to the worker, one at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import CallerError, PipelineError
from ..pipeline import BaseParams, parse_params
from ..supervisor import ParamsApplied, ParamsRejected, Supervisor, WorkerState

MAX_WAITING_CHANGES = 32
"""Of one stream. Who sends more than a pipeline takes must not keep others waiting, nor memory."""


class TooManyChangesError(CallerError):
    """More changes of parameters wait than a stream takes (HTTP 429)."""

    http_status = 429


def size_of(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[int, int]:
    """Return width and height that parameters ask for, in px.

    :param defaults: the pipeline's own, as far as they are known
    :raises CallerError: no pipeline could take that size
    """
    both = {**defaults, **params}
    size = parse_params(BaseParams, {name: both[name] for name in ("width", "height") if name in both})
    return size.width, size.height


class Parameters:
    """Changes are applied in the order of the calls, so that none overwrites what another one has just changed.

    :param wanted: the stream's first ones, complete or not
    :param on_applied: called on the loop with what has been applied
    """

    def __init__(
        self,
        supervisor: Supervisor,
        wanted: Mapping[str, Any],
        on_applied: Callable[[ParamsApplied], None],
    ) -> None:
        self.current = dict(wanted)
        self.given = False
        """The worker has this stream's parameters; before that it may have another stream's."""
        self._loading = False
        self.outcomes: Counter[str] = Counter()
        """Changes by outcome: applied, refused, failed, overrun."""
        self._supervisor = supervisor
        self._on_applied = on_applied
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def give(self) -> None:
        """Give the first ones.

        :raises CallerError: the pipeline refuses them
        :raises PipelineError: it raised, or its worker is gone (`WorkerFailed`)
        """
        await self.change(lambda current: current)

    async def change(self, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> dict[str, Any]:
        """Apply what `change` makes of the parameters in force.

        :returns: ``params`` now in force, ``from_frame`` they hold from, ``reloading``
        :raises TooManyChangesError: too many wait already
        :raises CallerError: the pipeline refuses them; the running ones are untouched
        :raises PipelineError: as `give`
        """
        if self._waiting >= MAX_WAITING_CHANGES:
            self.outcomes["overrun"] += 1
            raise TooManyChangesError(
                f"{self._waiting} changes of this stream's parameters are waiting already",
                hint="send the next one when the last one is answered",
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await self._apply(change(self.current))
        finally:
            self._waiting -= 1

    def reloaded(self) -> None:
        """Note that a reload has ended well, ours or one of the stream before."""
        self.given = self.given or self._loading
        self._loading = False

    def worker_died(self) -> None:
        """Note that what the worker was loading has come to nothing."""
        self._loading = False

    def adopt(self, params: Mapping[str, Any]) -> None:
        """Note what a new worker has, which may be older than what was wanted."""
        self.current = dict(params)

    async def _apply(self, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            applied = await self._supervisor.update_params(params)
        except ParamsRejected:
            self.outcomes["refused"] += 1
            raise
        except PipelineError:
            self.outcomes["failed"] += 1
            raise
        self.outcomes["applied"] += 1
        state = self._supervisor.state  # a short reload may have ended before we were told that it began
        self._loading = applied.reloading and state is WorkerState.RELOADING
        self.given = self.given or not applied.reloading or state is WorkerState.READY
        self.adopt(applied.params)
        self._on_applied(applied)
        return {"params": self.current, "from_frame": applied.from_seq, "reloading": applied.reloading}
