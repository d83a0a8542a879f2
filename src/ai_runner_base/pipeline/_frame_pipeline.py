"""The short way: one function from picture to picture."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from ..errors import PipelineError
from ._frame import VideoFrame, VideoOutput
from ._interface import Pipeline
from ._params import BaseParams, parse_params

T = TypeVar("T")


class FramePipeline(Pipeline):
    """A pipeline that makes one picture out of one picture.

    Write `transform`, and `setup` where something has to be loaded. Plain methods are all called in one and
    the same thread, one at a time, so that state needs no locks and device contexts stay where they were
    made. ``async def`` methods run on the event loop, one at a time as well.
    """

    is_sync: ClassVar[bool] = True
    """Whether `transform` is a plain method. Set by the class itself."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.is_sync = not inspect.iscoroutinefunction(cls.transform)

    # What an author writes

    @abstractmethod
    def transform(self, frame: VideoFrame, params: Any) -> Any:
        """Make the output picture. May be ``async def``.

        :param frame: the input; ``frame.array`` is (H, W, 3) uint8, ``frame.tensor`` (1, H, W, 3) float in
            [0, 1]
        :param params: the current parameters, an instance of `Params`
        :return: RGB picture as in `VideoFrame`: uint8 or float in [0, 1], any device, any size; or ``frame``
            itself
        """

    def setup(self, params: Any) -> Awaitable[None] | None:
        """Load and warm up. Called before the first frame, and again when a ``live=False`` parameter changes.

        :param params: the parameters to load for; `params` of the pipeline still are the ones before
        """
        return None

    def on_params(self, params: Any) -> Awaitable[None] | None:
        """Called between two frames when parameters change that need no reload.

        :param params: the new parameters; `params` of the pipeline still are the ones before
        """
        return None

    def teardown(self) -> Awaitable[None] | None:
        """Release what `setup` made. Called once, last, also when `setup` has failed."""
        return None

    # What a host calls

    _params: BaseParams | None = None
    _wanted: BaseParams | None = None
    """What was asked for last; differs from `_params` while a reload is under way."""
    _executor: Executor | None = None
    _owned_executor: ThreadPoolExecutor | None = None

    @property
    def params(self) -> Any:
        """The parameters in force, or None before `setup` is through."""
        return self._params

    def use_executor(self, executor: Executor) -> None:
        """Run the plain methods in the host's own frame thread. To be called before `initialize`.

        :param executor: one thread, one call at a time; it stays the host's
        """
        self._executor = executor

    def process(self, frame: VideoFrame) -> VideoFrame:
        """Run a plain `transform` here and now; for a host whose frame thread is also the executor's thread.

        :raises PipelineError: nothing came back
        """
        return _wrap(frame, self.transform(frame, self._params))

    async def process_async(self, frame: VideoFrame) -> VideoFrame:
        """Run `transform`, whichever kind it is.

        :raises PipelineError: nothing came back
        """
        return _wrap(frame, await self._call(self.transform, frame, self._params))

    async def initialize(self, **params: Any) -> None:
        """Check the parameters and run `setup`.

        :raises ParamsError: a parameter breaks a rule
        """
        self._wanted = parse_params(self.Params, params)
        await self._take_over(self.setup, self._wanted)

    async def update_params(self, **params: Any) -> asyncio.Task[None] | None:
        """Apply live parameters before the next frame, or start a reload.

        :raises ParamsError: a parameter breaks a rule; the old ones stay in force
        """
        new = parse_params(self.Params, params)
        if self._needs_reload(new):
            return asyncio.get_running_loop().create_task(self._take_over(self.setup, new), name="reload")
        await self._take_over(self.on_params, new)
        return None

    async def put_video_frame(self, frame: VideoFrame, request_id: str) -> None:
        """Make the picture now and keep it for `get_processed_video_frame`."""
        result = await self.process_async(frame)
        await self._results.put(VideoOutput(result, request_id))

    async def get_processed_video_frame(self) -> VideoOutput:
        """Wait for the next result."""
        return await self._results.get()

    async def stop(self) -> None:
        """Run `teardown` and end the thread."""
        try:
            await self._call(self.teardown)
        finally:
            if self._owned_executor is not None:
                self._owned_executor.shutdown(wait=False)

    # Inside

    @cached_property
    def _results(self) -> asyncio.Queue[VideoOutput]:
        return asyncio.Queue(maxsize=1)

    @cached_property
    def _one_at_a_time(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def _take_over(self, method: Callable[[Any], Awaitable[None] | None], new: BaseParams) -> None:
        """Tell the author of new parameters; in force at once, before another frame can come between."""

        def in_thread() -> Awaitable[None] | None:
            result = method(new)
            if result is None:  # else there is something to await first
                self._params = new
            return result

        if inspect.iscoroutinefunction(method):
            await self._call(method, new)
        else:
            await self._call(in_thread)
        self._params = new

    def _needs_reload(self, new: BaseParams) -> bool:
        old, self._wanted = self._wanted, new
        return any(getattr(new, name) != getattr(old, name, None) for name in type(new).reload_names())

    async def _call(self, method: Callable[..., T | Awaitable[T]], *args: Any) -> T:
        async with self._one_at_a_time:
            if inspect.iscoroutinefunction(method):
                return await method(*args)  # type: ignore[no-any-return]  # a coroutine function, as just checked
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._thread(), method, *args)
            return await result if inspect.isawaitable(result) else result

    def _thread(self) -> Executor:
        if self._executor is None:
            self._executor = self._owned_executor = ThreadPoolExecutor(
                1, thread_name_prefix="ai-runner-frame"
            )
        return self._executor


def _wrap(frame: VideoFrame, result: Any) -> VideoFrame:
    if result is None:
        raise PipelineError(
            "transform returned None instead of a picture",
            hint="return the picture, or frame to leave it as it is",
        )
    return result if isinstance(result, VideoFrame) else frame.replace(result)
