"""The worker's main thread: loads the pipeline and answers control messages, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import platform
import socket
import traceback
from typing import cast

from .. import __version__
from ..pipeline import FramePipeline, ParamsError
from ..ring import Ring
from ..wire import PROTOCOL_VERSION, control
from ._control import ControlThread, Vitals
from ._frame_loop import FrameLoop
from ._frame_thread import FrameThread
from ._load import RunningPipeline, load_failed
from ._port import FramePort, Session
from ._process import leave_orphaned, send_logs_to_runner
from ._reports import Reporter, describe

_EXIT_NOT_LOADED = 3


def run_worker(control_fd: int, frame_fd: int, input_fd: int, output_fd: int) -> int:
    """Run until the runner says stop or is gone.

    :returns: exit code
    """

    async def run() -> int:
        frame_socket, control_socket = socket.socket(fileno=frame_fd), socket.socket(fileno=control_fd)
        return await _Worker(control_socket, frame_socket, input_fd, output_fd).run()

    return asyncio.run(run())


class _Worker:
    """One pipeline in this process. Made on the event loop."""

    def __init__(
        self, control_socket: socket.socket, frame_socket: socket.socket, input_fd: int, output_fd: int
    ) -> None:
        self._frame_socket = frame_socket
        self._ring_fds = input_fd, output_fd
        self._vitals = Vitals()
        self._control = ControlThread(control_socket, self._vitals, self._from_runner, self._runner_gone)
        self._reporter = Reporter(self._control.send)
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[control.ControlMessage] = asyncio.Queue()
        self._stop_asked = asyncio.Event()
        self._stop_limit_s = 0.0
        self._exit_code = 0
        self._between_frames = asyncio.Lock()
        self._port: FramePort | None = None
        self._frame_thread: FrameThread | None = None
        self._frame_loop: FrameLoop | None = None
        self._running: RunningPipeline | None = None

    async def run(self) -> int:
        """Work until told to stop, or until the work cannot go on.

        :returns: exit code
        """
        send_logs_to_runner(self._reporter.report)
        python = platform.python_version()
        self._control.send(control.Hello(PROTOCOL_VERSION, __version__, python, os.getpid()))
        self._control.start()
        work = asyncio.create_task(self._work(), name="work")
        stop = asyncio.create_task(self._stop_asked.wait(), name="stop")
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        await self._end(work)
        return self._exit_code

    # In the control thread

    def _from_runner(self, message: control.ControlMessage) -> None:
        """Sessions begin and end here, whatever the event loop is busy with; the rest goes to the loop."""
        match message:
            case control.OpenSession(session, request_id, credits):
                if self._port is not None:
                    self._port.open_session(Session(session, request_id), credits)
            case control.CloseSession(session):
                if self._port is not None:
                    self._port.close_session(session)
                    self._wake_frames()
            case control.Stop(limit_s):
                self._stop_limit_s = limit_s
                self._on_loop(self._stop_asked.set)
            case _:
                self._on_loop(lambda: self._inbox.put_nowait(message))

    def _runner_gone(self) -> None:
        self._on_loop(self._stop_asked.set)
        leave_orphaned()

    def _on_loop(self, callback: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(callback)  # type: ignore[arg-type]  # any callable without arguments

    def _wake_frames(self) -> None:
        if self._frame_thread is not None:
            self._frame_thread.wake()
        if self._frame_loop is not None:
            self._on_loop(self._frame_loop.wake)

    # On the loop

    async def _work(self) -> None:
        message = await self._inbox.get()
        if not isinstance(message, control.Hello) or message.protocol != PROTOCOL_VERSION:
            return  # the runner names both versions; it has our Hello
        load = await self._inbox.get()
        if not isinstance(load, control.Load) or not await self._load(load):
            return
        async with asyncio.TaskGroup() as group:
            if self._frame_loop is not None:
                group.create_task(self._frame_loop.run(), name="frames")
            while True:
                message = await self._inbox.get()
                if isinstance(message, control.UpdateParams):
                    await self._update_params(message, group)

    async def _load(self, load: control.Load) -> bool:
        """Import, initialize, say so.

        :returns: whether it succeeded; the runner is told either way
        """
        inputs, outputs = (Ring.attach(fd, load.slots) for fd in self._ring_fds)
        self._port = FramePort(self._frame_socket, inputs, outputs)
        self._frame_thread = FrameThread(self._port, self._vitals, self._reporter)
        try:
            running = RunningPipeline(load.entry_point, self._frame_thread)
            self._running = running
            await running.initialize(load.params)
            ready = running.ready()
            self._choose_frame_path(running)
            gc.collect()
            gc.freeze()  # what was loaded stays: no collection shall walk through it again between two frames
            self._control.send(ready)
        except Exception as error:
            self._control.send(load_failed(error))
            self._exit_code = _EXIT_NOT_LOADED
            return False
        self._vitals.watch_loop(self._loop.call_soon_threadsafe)
        return True

    def _choose_frame_path(self, running: RunningPipeline) -> None:
        if self._port is None or self._frame_thread is None:
            return
        if running.is_sync:
            self._frame_thread.run_frames_of(cast(FramePipeline, running.pipeline))
        else:
            self._frame_loop = FrameLoop(
                running.pipeline, self._port, self._vitals, self._reporter, self._between_frames
            )

    async def _update_params(self, update: control.UpdateParams, group: asyncio.TaskGroup) -> None:
        """Between two frames, and say from which one on the new parameters hold."""
        running, port, thread = self._running, self._port, self._frame_thread
        if running is None or port is None or thread is None:
            return
        try:
            async with self._between_frames:
                thread.seq_at_job = None
                reload = await running.update(update.params)
                # Frames go on in the frame thread while this loop comes to read: it noted the number itself.
                from_seq = 1 + (thread.seq_at_job if thread.seq_at_job is not None else port.last_seq)
        except ParamsError as error:
            self._control.send(control.ParamsRejected(update.request, list(error.details)))
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            self._control.send(control.ParamsFailed(update.request, describe(error), trace))
        else:
            self._acknowledge(update.request, from_seq, running, reload is not None)
            if reload is not None:
                group.create_task(self._watch_reload(reload, port), name="reload")

    def _acknowledge(self, request: int, from_seq: int, running: RunningPipeline, reloading: bool) -> None:
        takes_frames = not (reloading and running.params.show_reloading_frame)
        if not takes_frames and self._port is not None:
            self._port.pause()
        params, size = running.params.model_dump(mode="json"), running.output_size()
        self._control.send(control.ParamsApplied(request, from_seq, params, size, reloading, takes_frames))

    async def _watch_reload(self, reload: asyncio.Task[None], port: FramePort) -> None:
        await asyncio.wait({reload})
        error = asyncio.CancelledError("cancelled") if reload.cancelled() else reload.exception()
        if error is not None:
            trace = "".join(traceback.format_exception(error))
            self._control.send(control.Reloaded(describe(error), trace))
            return
        port.resume()
        self._control.send(control.Reloaded())

    # The end

    async def _end(self, work: asyncio.Task[None]) -> None:
        """Stop the pipeline and say so. An error of ours ends in a traceback."""
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if self._running is not None:
            try:
                async with asyncio.timeout(self._stop_limit_s or None):
                    await self._running.pipeline.stop()
            except Exception as error:
                self._reporter.exception(error)
        if self._frame_thread is not None:
            self._frame_thread.shutdown(wait=False)
        self._control.send(control.Stopped())
