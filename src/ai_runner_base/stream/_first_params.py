"""A stream's first parameters on their way to its worker: no frame goes there before it has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..supervisor import WorkerFailed
from ._parameters import Parameters

PREPARE_LIMIT_S = 3.0
"""A gateway gives the whole chain of requests 5 s (contract 1.3); a worker that takes longer is waited for later."""
MAX_ATTEMPTS = 2


class FirstParameters:
    """Gives them, a second time if a worker dies over the first.

    :param name: of the stream, for tasks
    :param on_given: called on the loop once the worker has taken them
    :param on_failed: called on the loop with the error, and whether that is the end; not for what `prepare` raises
    """

    def __init__(
        self,
        name: str,
        parameters: Parameters,
        on_given: Callable[[], None],
        on_failed: Callable[[Exception, bool], None],
    ) -> None:
        self._name, self._parameters = name, parameters
        self._on_given, self._on_failed = on_given, on_failed
        self._giving: asyncio.Task[None] | None = None
        self._attempts = 0

    @property
    def under_way(self) -> bool:
        """Whether an answer is still to come."""
        return self._giving is not None and not self._giving.done()

    async def prepare(self) -> None:
        """Give them and wait a little, so that bad ones are refused before the stream is admitted.

        :raises CallerError: the pipeline refuses them
        :raises PipelineError: it fails over them
        """
        giving = self._start()
        await asyncio.wait({giving}, timeout=PREPARE_LIMIT_S)
        if giving.done():
            giving.result()

    def follow(self) -> None:
        """The stream runs: what `prepare` did not wait for is told from now on."""
        if self._giving is not None:
            self._giving.add_done_callback(self._done)

    def begin(self) -> bool:
        """Give them to another worker.

        :returns: False when too many have not survived them
        """
        if self._attempts >= MAX_ATTEMPTS:
            return False
        self._start().add_done_callback(self._done)
        return True

    def cancel(self) -> list[asyncio.Task[None]]:
        """Stop; return what is to be awaited."""
        if self._giving is None:
            return []
        self._giving.cancel()
        return [self._giving]

    def _start(self) -> asyncio.Task[None]:
        self._attempts += 1
        self._giving = asyncio.get_running_loop().create_task(self._give(), name=f"{self._name} parameters")
        return self._giving

    async def _give(self) -> None:
        await self._parameters.give()
        self._on_given()

    def _done(self, giving: asyncio.Task[None]) -> None:
        """A worker that died meanwhile has a successor, which is tried as well; anything else is the end."""
        error = None if giving.cancelled() else giving.exception()
        if isinstance(error, Exception):
            is_end = not isinstance(error, WorkerFailed) or self._attempts >= MAX_ATTEMPTS
            self._on_failed(error, is_end)
