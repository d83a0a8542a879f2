"""A real worker for a pipeline's own tests: an interpreter of its own, frames through shared memory, no runner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalog import activation_environment
from ..errors import PipelineError
from ..supervisor import (
    PipelineReported,
    Supervisor,
    SupervisorOptions,
    WorkerEvent,
    WorkerInfo,
    WorkerOutput,
    WorkerSpec,
)

Pixels = NDArray[np.uint8]

_TIME_BASE = Fraction(1, 30)


class PipelineWorker:
    """A worker that is ready and has a stream of one picture at a time. Made by `pipeline_worker`.

    :param info: facts about it, its parameters' JSON schema among them
    """

    def __init__(
        self, supervisor: Supervisor, info: WorkerInfo, answers: asyncio.Queue[Pixels | str]
    ) -> None:
        self.info = info
        self._supervisor = supervisor
        self._answers = answers
        self._pts = 0
        self._session = supervisor.open_session(
            request_id="test", lossless=True, on_output=self._take, on_error=lambda _: None
        )

    async def transform(self, picture: Pixels, limit_s: float = 30.0) -> Pixels:
        """Send one picture and wait for the pipeline's next one.

        :param picture: (H, W, 3) uint8 RGB
        :returns: the same, of the size that the pipeline gives
        :raises PipelineError: it raised, or its worker ended
        :raises TimeoutError: it gave nothing
        """
        height, width = picture.shape[:2]
        slot = await asyncio.to_thread(self._session.acquire, width, height, limit_s)
        if slot is None:
            raise self._supervisor.last_error or PipelineError("the worker took no picture")
        slot.array[...] = picture
        self._pts += 1
        self._session.commit(slot, self._pts, _TIME_BASE)
        answer = await asyncio.wait_for(self._answers.get(), limit_s)
        if isinstance(answer, str):
            raise PipelineError(answer)
        return answer

    async def update_params(self, **params: Any) -> dict[str, Any]:
        """Replace the parameters; what is left out gets its default again. Waits for a reload to end.

        :returns: the complete ones in force
        :raises ParamsRejected: they break a rule
        :raises PipelineError: the pipeline raised
        """
        applied = await self._supervisor.update_params(params)
        await self._supervisor.wait_ready(self._supervisor.options.load_timeout_s)
        return dict(applied.params)

    def _take(self, output: WorkerOutput) -> None:
        self._answers.put_nowait(output.array.copy())
        output.release()


@contextlib.asynccontextmanager
async def pipeline_worker(
    entry_point: str,
    *,
    source: Path | None = None,
    prefix: Path = Path(sys.prefix),
    load_limit_s: float = 60.0,
) -> AsyncIterator[PipelineWorker]:
    """Start a worker for a pipeline, as a runner does; it has ended when the block is left.

    :param entry_point: ``package.module:Name``
    :param source: folder to import it from, before what is installed
    :param prefix: the environment whose interpreter runs it
    :raises PipelineError: it cannot be loaded
    """
    answers: asyncio.Queue[Pixels | str] = asyncio.Queue()

    def on_event(event: WorkerEvent) -> None:
        if isinstance(event, PipelineReported):
            answers.put_nowait(f"{event.message}\n{event.traceback}".rstrip())

    spec = WorkerSpec(
        prefix, entry_point, entry_point, env=activation_environment(prefix, os.environ), source=source
    )
    options = SupervisorOptions(load_timeout_s=load_limit_s, restart_budget=0)
    supervisor = Supervisor(spec, options, on_event=on_event)
    try:
        await supervisor.start()
        yield PipelineWorker(supervisor, await supervisor.wait_ready(load_limit_s + 1), answers)
    finally:
        await supervisor.aclose()
