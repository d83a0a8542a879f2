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
_TIMES_REMEMBERED = 64


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
        self._taken_ns: dict[int, int] = {}
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
        """Have waiting tasks look around: a session has ended."""
        self._slot_freed.set()

    def _readable(self) -> None:
        try:
            message = self._port.receive()
        except BlockingIOError:
            return
        if message is None:  # the runner is gone; the control thread ends the process
            self._loop.remove_reader(self._port.socket)
        elif isinstance(message, frames.FrameReady | frames.OutputsFreed):
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
            async with self._between_frames:
                await self._put(self._inbox.popleft())
            await asyncio.sleep(0)  # a pipeline that never waits must not starve the loop

    async def _put(self, message: frames.FrameReady) -> None:
        session = self._port.session
        if session is None or not self._port.is_wanted(message):
            self._port.refuse(message)
            return
        session.remember(message)
        self._remember_taken(message.seq)
        self._vitals.frame_begins()
        try:
            await self._pipeline.put_video_frame(self._port.frame(message), session.request_id)
        except Exception as error:
            self._reporter.exception(error, message.seq)
            self._port.send(frames.Returned(message.session, message.seq))
        finally:
            self._vitals.frame_ends()
            self._port.ask(message.session)
            self._port.flush()

    def _remember_taken(self, seq: int) -> None:
        self._taken_ns[seq] = monotonic_ns()
        if len(self._taken_ns) > _TIMES_REMEMBERED:
            del self._taken_ns[next(iter(self._taken_ns))]

    async def _get_results(self) -> None:
        while True:
            try:
                await self._deliver(await self._pipeline.get_processed_video_frame(), monotonic_ns())
            except Exception as error:
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
        times = self._taken_ns.get(seq, 0), answered_ns
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
