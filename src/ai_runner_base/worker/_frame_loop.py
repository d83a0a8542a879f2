"""Runs a full `Pipeline` on the event loop: one task puts frames, one gets results.

A `FramePipeline` whose ``transform`` is a coroutine function runs here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic_ns

import numpy as np

from ..errors import PipelineError
from ..pipeline import Pipeline, VideoFrame, VideoOutput
from ..wire import frames
from ._control import Vitals
from ._port import FramePort, Picture, Session
from ._reports import Reporter

_log = logging.getLogger("ai_runner_base.worker")

_RETRY_S = 0.02
"""A call that raises at once, for ever, must not keep a CPU busy."""
_AHEAD_AT_FIRST, _AHEAD_AT_MOST = 4, 32
"""Frames that a pipeline may have before it answers. It usually has a queue of its own, often without a limit:
if it were given all it takes, a slow one would show ever older pictures. One that needs to see more frames before
its first answer (a batch, a look ahead) is given more, see `_until_answered`."""
_PATIENCE_S = 1.0


class FrameLoop:
    """Both tasks and the reader of the frame socket. Made on the loop.

    :param between_frames: held while a frame is in ``put_video_frame``, so that parameters change between two
    """

    def __init__(
        self,
        pipeline: Pipeline,
        port: FramePort,
        vitals: Vitals,
        reporter: Reporter,
        between_frames: asyncio.Lock,
    ) -> None:
        self._pipeline = pipeline
        self._port = port
        self._vitals = vitals
        self._reporter = reporter
        self._between_frames = between_frames
        self._inbox: deque[frames.FrameReady] = deque()
        self._frame_there = asyncio.Event()
        self._slot_freed = asyncio.Event()
        self._answered = asyncio.Event()
        self._unanswered: dict[int, int] = {}
        """When each frame was taken (ns), by number; the one answered last stays, for further answers to it."""
        self._ahead = _AHEAD_AT_FIRST
        self._session: Session | None = None
        self._loop = asyncio.get_running_loop()
        self._port.socket.setblocking(False)
        self._loop.add_reader(port.socket, self._readable)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._put_frames(), name="put")
                group.create_task(self._get_results(), name="get")
        finally:
            self._loop.remove_reader(self._port.socket)

    def wake(self) -> None:
        """A session has ended: nobody waits for its frames any more."""
        self._unanswered.clear()
        self._answered.set()
        self._slot_freed.set()

    def _readable(self) -> None:
        try:
            message = self._port.receive()
        except BlockingIOError:
            return
        if message is None:  # the runner is gone; the control thread ends the process
            self._loop.remove_reader(self._port.socket)
            return
        for slot in message.freed:
            self._port.ledger.release(slot)
        if message.freed:
            self._slot_freed.set()
            self._port.flush()
        if isinstance(message, frames.FrameReady):
            self._inbox.append(message)
            self._frame_there.set()

    async def _put_frames(self) -> None:
        while True:
            while not self._inbox:
                self._frame_there.clear()
                await self._frame_there.wait()
            message = self._inbox.popleft()
            async with self._between_frames:
                await self._put(message)
            await self._until_answered()
            self._port.ask(message.session)
            self._port.flush()
            await asyncio.sleep(0)  # a pipeline that never waits must not starve the loop

    async def _put(self, message: frames.FrameReady) -> None:
        session = self._port.session
        if session is None or not self._port.is_wanted(message):
            self._port.free(message.slot)
            self._port.send(frames.Returned(message.session, message.seq))
            return
        if session is not self._session:
            self._session = session
            self._unanswered.clear()
        session.remember(message)
        self._unanswered[message.seq] = monotonic_ns()
        self._vitals.frame_begins()
        try:
            await self._pipeline.put_video_frame(self._port.frame(message), session.request_id)
        except (Exception, asyncio.CancelledError) as error:
            _raise_if_ours(error)
            self._reporter.exception(error, message.seq)
            self._unanswered.pop(message.seq, None)
            self._port.send(frames.Returned(message.session, message.seq))
        finally:
            self._vitals.frame_ends()

    async def _until_answered(self) -> None:
        """Wait while the pipeline has many frames that it has not answered; learn if it needs more than that."""
        while len(self._unanswered) > self._ahead:
            self._answered.clear()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._answered.wait()
            except TimeoutError:
                if not self._port.ledger.free:
                    continue  # it has answered; the runner has no room for it
                if self._ahead == _AHEAD_AT_MOST:
                    del self._unanswered[next(iter(self._unanswered))]
                self._ahead = min(2 * self._ahead, _AHEAD_AT_MOST)

    def _note_answer(self, seq: int) -> None:
        """Answers come in order: frames before this one are behind us. 0: one that made up its time."""
        if seq in self._unanswered:
            for earlier in [other for other in self._unanswered if other < seq]:
                del self._unanswered[earlier]
        elif self._unanswered and seq == 0:
            del self._unanswered[next(iter(self._unanswered))]
        self._answered.set()

    async def _get_results(self) -> None:
        while True:
            try:
                await self._deliver(await self._pipeline.get_processed_video_frame(), monotonic_ns())
            except (Exception, asyncio.CancelledError) as error:
                _raise_if_ours(error)
                self._reporter.exception(error)
                await asyncio.sleep(_RETRY_S)
            await asyncio.sleep(0)

    async def _deliver(self, output: VideoOutput, answered_ns: int) -> None:
        """Send one result, once there is a slot for it. Until then nothing more is asked for, in or out."""
        if not isinstance(output, VideoOutput) or not isinstance(output.frame, VideoFrame):
            raise PipelineError(
                f"get_processed_video_frame returned {type(output).__name__}, not a VideoOutput"
            )
        session = self._port.session
        if session is None or output.request_id not in ("", session.request_id):
            _log.debug("dropped an output of request %r", output.request_id)
            return
        slot = await self._take_output(session)
        if slot is None:
            return
        picture = await self._write(slot, output.frame)
        seq = session.seqs.get((output.frame.pts, output.frame.time_base), 0)
        times = self._unanswered.get(seq, 0), answered_ns
        self._note_answer(seq)
        self._port.send(frames.Result(session.number, seq, *picture, output.is_loading_frame, *times))

    async def _write(self, slot: int, frame: VideoFrame) -> Picture:
        """Convert in this thread what is a mere copy; let a thread wait for a device or compute."""
        if isinstance(frame.data, np.ndarray) and frame.data.dtype == np.uint8:
            return self._port.write(slot, frame)
        return await asyncio.to_thread(self._port.write, slot, frame)

    async def _take_output(self, session: Session) -> int | None:
        while (slot := self._port.ledger.take()) is None:
            if not self._port.is_open(session.number):
                return None
            self._slot_freed.clear()
            with self._vitals.frame_waits():
                await self._slot_freed.wait()
        return slot


def _raise_if_ours(error: BaseException) -> None:
    """Let go on what cancels this task; a cancellation inside the pipeline is an error like any other."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
