"""The pipeline: frames in chunks to a node of scope, its pictures back at the times of the frames."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from ai_runner_base import Pipeline, VideoFrame, VideoOutput
from ai_runner_base.errors import PipelineError, RunnerError
from ai_runner_base.pipeline import ParamsError, parse_params

from . import device, weights
from .building import build, call_with
from .chunk import Chunk, shown, spread
from .nodes import chosen, config_class, node_class
from .params import ScopeParams, chosen_params
from .plan import Plan, make_plan

_MOST_OUTPUTS = 64
"""Pictures that wait to be taken: two chunks of whichever node. With more than that, no further chunk is begun."""
_PATIENCE_S = 3.0
"""Time without a frame after which a chunk is filled up. A runner that learns how many frames a pipeline needs to
see at once makes pauses of a second."""
_STOP_LIMIT_S = 1.0


class Scope(Pipeline):
    """Any pipeline of scope, by its class alone: no registry, no server.

    A node that takes n frames at once is given the next n; meanwhile the runner gathers the n after them. One that
    takes none, since it paints from a prompt, is called whenever its last pictures are being used up: each input
    frame then only says when the next picture is due.
    """

    Params: ClassVar[type[ScopeParams]] = chosen_params()

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "scope")
        """One thread, so that device contexts stay where they were made."""
        self._reloading = asyncio.Lock()
        self._turn = asyncio.Lock()
        """Whoever begins a call, or changes the node, waits for the call before, one after the other."""
        self._node: Any = None
        self._plan: Plan | None = None
        self._input_size: int | None = None
        self._is_first_call = True
        self._chunk, self._request_id = Chunk(), ""
        self._running: asyncio.Task[None] | None = None
        self._patience: asyncio.Task[None] | None = None
        self._pictures: deque[Any] = deque()
        self._batch_size = 0
        self._outputs: asyncio.Queue[VideoOutput | Exception] = asyncio.Queue(_MOST_OUTPUTS)

    async def initialize(self, **params: Any) -> None:
        """Make the node."""
        chosen()  # a name that is none must not pass for the default
        await self._load(make_plan(parse_params(self.Params, params)))

    async def put_video_frame(self, frame: VideoFrame, request_id: str) -> None:
        """Add the frame to the chunk; waits while the chunk before is still being worked on."""
        if self._node is None or self._reloading.locked():
            copy = frame.replace(frame.array.copy())
            await self._outputs.put(VideoOutput(copy, request_id, is_loading_frame=True))
            return
        time = frame.pts, frame.time_base
        if request_id != self._request_id or not self._chunk.follows(time):
            self._begin_stream(request_id)
        if self._input_size is None:
            await self._tick(frame)
            return
        self._chunk.add(device.tensor(frame.array, self._device), time)
        if len(self._chunk) >= self._input_size:
            await self._hand_over(self._input_size)
        else:
            self._wait_for_more(self._input_size)

    async def get_processed_video_frame(self) -> VideoOutput:
        """The next picture; what went wrong with a chunk is raised here."""
        output = await self._outputs.get()
        if isinstance(output, Exception):
            raise output
        return output

    async def update_params(self, **params: Any) -> asyncio.Task[None] | None:
        """Use new settings from the next chunk on, or make the node again."""
        plan = await asyncio.to_thread(_usable_plan, parse_params(self.Params, params))
        if self._plan is None or plan.needs_reload(self._plan):
            return asyncio.create_task(self._reload(plan), name="scope-reload")
        self._use(plan)
        return None

    async def stop(self) -> None:
        """Release the node, unless a call keeps it: the process ends in any case."""
        for task in (self._patience, self._running):
            if task is not None:
                task.cancel()
        unloading = asyncio.ensure_future(self._in_thread(self._unload))
        await asyncio.wait({unloading}, timeout=_STOP_LIMIT_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    @classmethod
    def prepare_models(cls) -> None:
        """Fetch the weights of the node that ``SCOPE_PIPELINE`` names."""
        name = chosen()
        weights.fetch(name, config_class(name))

    # Loading

    async def _load(self, plan: Plan) -> None:
        self._node = await self._in_thread(build, plan)
        self._is_first_call = True
        self._begin_stream("")
        self._use(plan)

    async def _reload(self, plan: Plan) -> None:
        async with self._reloading, self._turn:
            await self._settle()
            await self._in_thread(self._unload)
            await self._load(plan)

    def _unload(self) -> None:
        node, self._node = self._node, None
        if node is None:
            return
        shutdown = getattr(node, "shutdown", None)
        if shutdown is not None:
            shutdown()
        del node, shutdown
        device.release()

    def _use(self, plan: Plan) -> None:
        self._plan = plan
        self._device = device.place(plan.precision).device
        self._input_size = self._ask_input_size(plan)

    def _ask_input_size(self, plan: Plan) -> int | None:
        """Frames that a call takes; None: it is called without."""
        signal = {"video": True} if plan.mode == "video" else {}
        requirements = call_with(self._node.prepare, {**plan.call, **signal})
        if requirements is not None:
            return int(requirements.input_size)
        return 1 if plan.mode == "video" else None

    def _begin_stream(self, request_id: str) -> None:
        """Another stream, or a jump of its clock: what was gathered belongs to the past."""
        self._request_id = request_id
        self._chunk = Chunk()
        self._pictures.clear()

    # Working

    async def _hand_over(self, size: int) -> None:
        """Begin to work on the chunk as soon as the one before is done."""
        if self._patience is not None:
            self._patience.cancel()
        chunk, self._chunk = self._chunk, Chunk()
        node, request_id = self._node, self._request_id
        async with self._turn:
            await self._settle()
            if self._node is node:  # else it was made again meanwhile, and these frames are out of date
                self._running = asyncio.create_task(self._work(chunk, size, request_id), name="scope-chunk")

    def _wait_for_more(self, size: int) -> None:
        """When no frame comes any more, as at the end of a file, the chunk is worked on as it is."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = asyncio.create_task(self._lose_patience(size), name="scope-patience")

    async def _lose_patience(self, size: int) -> None:
        await asyncio.sleep(_PATIENCE_S)
        self._patience = None  # it is this task, which goes on
        if len(self._chunk) and self._node is not None and not self._reloading.locked():
            await self._hand_over(size)

    async def _work(self, chunk: Chunk, size: int, request_id: str) -> None:
        """One call; its pictures go out as they are taken."""
        try:
            pictures = await self._in_thread(self._call, self._plan, chunk.filled(size))
            del pictures[shown(len(pictures), len(chunk), size) :]
            for picture, (pts, time_base) in zip(pictures, spread(chunk.times, len(pictures)), strict=True):
                await self._outputs.put(VideoOutput(VideoFrame(picture, pts, time_base), request_id))
        except Exception as error:
            await self._outputs.put(error)

    async def _tick(self, frame: VideoFrame) -> None:
        """Answer a frame with the next picture of a node that takes no frames; have the following ones made."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._paint_ahead(), name="scope-paint")
        if not self._pictures:
            await self._settle()
        if self._pictures:
            picture = self._pictures.popleft()
            await self._outputs.put(VideoOutput(frame.replace(picture), self._request_id))

    async def _paint_ahead(self) -> None:
        """At most one batch waits while the next is made."""
        if len(self._pictures) > self._batch_size:
            return
        try:
            pictures = await self._in_thread(self._call, self._plan, None)
        except Exception as error:
            await self._outputs.put(error)
            return
        self._batch_size = len(pictures)
        self._pictures.extend(pictures)

    async def _settle(self) -> None:
        """Wait for the call that is under way; how it went has been said in `get_processed_video_frame`."""
        if self._running is not None:
            await asyncio.wait({self._running})
            self._running = None

    def _call(self, plan: Plan, video: list[Any] | None) -> list[Any]:
        """Call the node, in its thread.

        :param video: frames as `device.tensor` makes them; None for a node that takes none
        :return: (H, W, 3) float in 0..1, on its device
        """
        arguments = {**plan.call, "init_cache": self._is_first_call}
        if video is not None:
            arguments["video"] = video
        with device.torch().no_grad():
            answer = call_with(self._node, arguments)
        self._is_first_call = False
        return _pictures(plan.name, answer)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _usable_plan(params: ScopeParams) -> Plan:
    """A plan that can be carried out: what would make a reload fail, and end the worker, is refused here.

    :raises ParamsError: the node cannot be imported, lacks its weights, or does not go with the other parameters
    """
    try:
        plan = make_plan(params)
        weights.require(plan.name, node_class(plan.name).get_config_class())
        device.place(plan.precision)
    except RunnerError as error:
        details = {"loc": ("pipeline",), "msg": str(error), "type": type(error).__name__}
        raise ParamsError(error.message, hint=error.hint, details=(details,)) from error
    return plan


def _pictures(name: str, answer: Any) -> list[Any]:
    """A call's answer, picture by picture.

    :param answer: ``{"video": (T, H, W, 3)}``, or the video alone as older versions gave it
    """
    video = answer.get("video") if isinstance(answer, dict) else answer
    shape = tuple(getattr(video, "shape", ()))
    if len(shape) != 4 or shape[3] != 3:
        said = shape or sorted(answer) if isinstance(answer, dict) else type(answer).__name__
        raise PipelineError(f"scope's pipeline {name!r} gave {said}, not a video of (T, H, W, 3)")
    return list(video)
