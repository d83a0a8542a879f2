"""The pipeline: frames in and out, parameters, reloads. Nothing here imports torch before it is asked to load."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ai_runner_base import BaseParams, Pipeline, VideoFrame, VideoOutput
from ai_runner_base.errors import RunnerError
from ai_runner_base.pipeline import ParamsError, parse_params

from .one_thread import OneThread
from .params import StreamDiffusionParams

if TYPE_CHECKING:
    from .models import Choice, Models
    from .painter import Painter

T = TypeVar("T")

_IDLE_S = 0.25
"""When no frame has come for so long, those under way are painted to their end, without waiting for others."""
_READY_FRAMES = 2

# Read when torch is loaded. On a CPU that decoding, encoding and other workers share, threads that sleep between their
# parts of an operation leave it to them; those that spin, as they do by default, take half of it and wait all the same.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_log = logging.getLogger("ai_runner_streamdiffusion")


class StreamDiffusion(Pipeline):
    """Repaints live video by a diffusion model, in a batch that streams."""

    Params: ClassVar[type[BaseParams]] = StreamDiffusionParams

    def __init__(self) -> None:
        self._thread = OneThread("streamdiffusion")
        self._results: asyncio.Queue[VideoOutput] = asyncio.Queue(_READY_FRAMES)
        self._busy = asyncio.Lock()
        self._painter: Painter | None = None
        self._choice: Choice | None = None
        self._size = (0, 0)
        self._request_id = ""
        self._drain: asyncio.Task[None] | None = None

    async def initialize(self, **params: Any) -> None:
        """Load the model and paint once."""
        wanted = parse_params(StreamDiffusionParams, params)
        await self._load(wanted, await asyncio.to_thread(_choose, wanted))

    async def put_video_frame(self, frame: VideoFrame, request_id: str) -> None:
        """Let a frame into the batch; what comes out of it may be another."""
        if self._busy.locked() and self._painter is None:
            return  # a reload is under way, and its viewers see what there is
        async with self._busy:
            await self._end_drain()
            painter = self._painter
            if painter is None:
                return
            if request_id != self._request_id:
                self._request_id = request_id
                await self._in_thread(painter.clear)
            done = await self._in_thread(painter.paint, frame)
            if done is not None:
                await self._results.put(VideoOutput(done, request_id))
            if painter.waiting:
                self._drain = asyncio.create_task(self._drain_when_idle(), name="drain")

    async def get_processed_video_frame(self) -> VideoOutput:
        """Wait for the next painting."""
        return await self._results.get()

    async def update_params(self, **params: Any) -> asyncio.Task[None] | None:
        """Apply what needs no loading at once; else start a reload.

        :raises ParamsError: what is asked for is not here, or cannot be
        """
        wanted = parse_params(StreamDiffusionParams, params)
        try:
            choice = await asyncio.to_thread(_choose, wanted)
        except RunnerError as error:
            raise _refused(error) from error
        if choice != self._choice or _size(wanted) != self._size:
            return asyncio.create_task(self._load(wanted, choice), name="reload")
        async with self._busy:
            if self._painter is not None:
                await self._in_thread(self._painter.apply, wanted)
        return None

    async def stop(self) -> None:
        """Forget frames and models, and end the thread."""
        await self._end_drain()
        self._painter = None
        self._thread.shutdown()

    @classmethod
    def prepare_models(cls) -> None:
        """Fetch what will be served here: what `STREAMDIFFUSION_MODELS` names, else what ``auto`` means."""
        from .prepare import prepare

        prepare(os.environ)

    # Inside

    async def _load(self, wanted: StreamDiffusionParams, choice: Choice) -> None:
        """Load models if others are wanted, and make everything ready for the parameters."""
        async with self._busy:
            await self._end_drain()
            models = self._painter.models if self._painter is not None and choice == self._choice else None
            self._painter = self._choice = None  # before others are loaded, which may need its place
            self._painter = await self._in_thread(_make_painter, wanted, choice, models)
            self._choice, self._size = choice, _size(wanted)

    async def _drain_when_idle(self) -> None:
        await asyncio.sleep(_IDLE_S)
        async with self._busy:
            if self._painter is not None:
                for done in await self._in_thread(self._painter.drain):
                    await self._results.put(VideoOutput(done, self._request_id))
            self._drain = None

    async def _end_drain(self) -> None:
        """Frames come again. One that paints already holds `_busy`, so this one only waits for its time."""
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.cancel()
            await asyncio.wait({drain})

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _size(params: StreamDiffusionParams) -> tuple[int, int]:
    return params.width, params.height


def _choose(params: StreamDiffusionParams) -> Choice:
    """What is to be loaded for some parameters; all of it is here.

    :raises RunnerError: something is missing, or does not go together
    """
    from .devices import default_device, model_name, number_format
    from .models import Choice, locate

    device = default_device()
    model = model_name(params.model_id, device)
    choice = Choice(
        model=model,
        tiny_vae=params.use_tiny_vae,
        loras=tuple((params.lora_dict or {}).items()),
        controlnets=tuple(sorted(one.model_id for one in params.controlnets or ())),
        device=device,
        dtype=number_format(params.dtype, model, device),
        compiled=params.acceleration == "compile",
    )
    locate(choice)
    return choice


def _make_painter(params: StreamDiffusionParams, choice: Choice, models: Models | None) -> Painter:
    """Load what is not loaded yet, and paint once."""
    from .devices import expectation
    from .models import load
    from .painter import Painter

    if models is None:
        if sentence := expectation(choice.model, choice.device):
            _log.warning("%s", sentence)
        models = load(choice)
    return Painter(models, params)


def _refused(error: RunnerError) -> ParamsError:
    """Parameters that cannot be had here: the ones before stay in force."""
    detail = {"loc": (), "msg": str(error), "type": "not_available"}
    return ParamsError(error.message, hint=error.hint, details=(detail,))
