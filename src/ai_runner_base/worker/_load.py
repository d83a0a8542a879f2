"""From an entry point to a pipeline that is initialized, and its parameters from then on."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from ..errors import PipelineError, RunnerError
from ..pipeline import (
    BaseParams,
    FramePipeline,
    LoadedPipeline,
    Pipeline,
    load_pipeline,
    params_schema,
    parse_params,
)
from ..wire import control
from ._reports import describe

_log = logging.getLogger("ai_runner_base.worker")


class RunningPipeline:
    """A pipeline and the parameters it runs with.

    :param entry_point: imported here and now
    :param executor: for the plain methods of a `FramePipeline`
    :raises PipelineError: it cannot be imported, or its constructor raises
    """

    def __init__(self, entry_point: str, executor: Executor) -> None:
        self._loaded: LoadedPipeline = load_pipeline(entry_point)
        self.params: BaseParams = self._loaded.initial_params
        self.pipeline: Pipeline = self._make()
        self.initialize_error = ""
        if isinstance(self.pipeline, FramePipeline):
            self.pipeline.use_executor(executor)

    @property
    def is_sync(self) -> bool:
        """One plain function, which the frame thread runs."""
        return isinstance(self.pipeline, FramePipeline) and self.pipeline.is_sync

    async def initialize(self, wanted: Mapping[str, Any] | None) -> None:
        """Load with the wanted parameters, else once more with none (contract of the upstream runner).

        :param wanted: None: the pipeline's own initial parameters
        :raises PipelineError: both attempts failed
        """
        try:
            if wanted is not None:
                self.params = parse_params(self._loaded.params_cls, wanted)
            await self.pipeline.initialize(**self.params.model_dump())
        except Exception as first:
            _log.exception("initialize failed; trying once more with the default parameters")
            self.initialize_error = describe(first)
            await self._initialize_plainly(first)

    async def _initialize_plainly(self, first: Exception) -> None:
        try:
            await self.pipeline.initialize()
        except Exception as second:
            raise _load_error(second, first) from second
        self.params = parse_params(self._loaded.params_cls, {})

    async def update(self, values: Mapping[str, Any]) -> asyncio.Task[None] | None:
        """Give the pipeline complete parameters.

        :returns: a task when a long reload has begun; `params` are the new ones already
        :raises ParamsError: a value breaks a rule; nothing has changed
        """
        new = parse_params(self._loaded.params_cls, values)
        reload = await self.pipeline.update_params(**new.model_dump())
        self.params = new
        return reload

    def output_size(self) -> list[int] | None:
        """(width, height) that the parameters promise; None when the author's code cannot say."""
        try:
            width, height = self.params.get_output_resolution()
            return [int(width), int(height)]
        except Exception:
            _log.exception("get_output_resolution failed")
            return None

    def ready(self) -> control.Ready:
        """What the runner has to know."""
        params_cls = self._loaded.params_cls
        return control.Ready(
            params_schema=params_schema(params_cls),
            default_params=parse_params(params_cls, {}).model_dump(mode="json"),
            params=self.params.model_dump(mode="json"),
            output_size=self.output_size(),
            capabilities=["sync" if self.is_sync else "async"],
            initialize_error=self.initialize_error,
        )

    def _make(self) -> Pipeline:
        try:
            return self._loaded.pipeline_cls()
        except Exception as error:
            name = self._loaded.pipeline_cls.__name__
            raise _load_error(error, None, f"{name}() raised {describe(error)}") from error


def load_failed(error: Exception) -> control.LoadFailed:
    """An error of this module as the message about it."""
    trace = getattr(error, "remote_traceback", "") or "".join(traceback.format_exception(error))
    if isinstance(error, RunnerError):
        return control.LoadFailed(error.message, trace, error.hint)
    return control.LoadFailed(describe(error), trace)


def _load_error(error: Exception, first: Exception | None, message: str = "") -> PipelineError:
    hint = error.hint if isinstance(error, RunnerError) else ""
    trace = "".join(traceback.format_exception(error))
    if first is not None and describe(first) != describe(error):
        message = f"initialize raised {describe(first)}; without parameters: {describe(error)}"
        trace = "".join(traceback.format_exception(first)) + "\n" + trace
    return PipelineError(message or f"initialize raised {describe(error)}", hint=hint, remote_traceback=trace)
