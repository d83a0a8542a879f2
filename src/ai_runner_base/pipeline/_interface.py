"""The full, asynchronous interface, for pipelines that queue, batch, interpolate or invent frames."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from ._frame import VideoFrame, VideoOutput
from ._params import BaseParams


class Pipeline(ABC):
    """A pipeline that receives frames and gives frames back in its own time.

    The class is made without arguments, in a process of its own, on one event loop. An exception from any
    method but `initialize` is logged and reported, and the stream goes on with the next frame.

    Semantics are those of the upstream runner's interface (livepeer/ai-runner, live/pipelines/interface.py).
    """

    Params: ClassVar[type[BaseParams]] = BaseParams
    """Class of the parameters."""

    @abstractmethod
    async def initialize(self, **params: Any) -> None:
        """Load and warm up. Called once, before the first frame; may take minutes.

        :param params: the complete initial parameters. If this raises, it is called once more without any;
            if that raises too the worker ends.
        """

    @abstractmethod
    async def put_video_frame(self, frame: VideoFrame, request_id: str) -> None:
        """Take one frame. Called one at a time, in order; until it returns, the newest frame waits.

        :param frame: valid until the output for it is returned; copy what must live longer
        :param request_id: the stream; give it back in `VideoOutput`
        """

    @abstractmethod
    async def get_processed_video_frame(self) -> VideoOutput:
        """Give the next result, waiting for it. Awaited for ever, in a task beside `put_video_frame`.

        Results come in the order of their time. There may be more or fewer of them than frames that went in.
        """

    @abstractmethod
    async def update_params(self, **params: Any) -> asyncio.Task[None] | None:
        """Take over new parameters. Runs on the loop, between other calls or while they wait.

        :param params: the complete parameters, already checked against `Params`
        :return: None when they are applied. A task for a long reload: viewers see a waiting picture until it
            ends, and the worker is restarted if it fails.
        """

    async def stop(self) -> None:
        """Release everything. Called once, last."""
        return

    @classmethod
    def prepare_models(cls) -> None:
        """Download and compile what `initialize` needs, ahead of time. The default has nothing to do.

        Runs in the pipeline's environment without a stream (``ai-runner prepare``); may take hours; must be
        repeatable, and cheap when there is nothing left to do.
        """
        return
