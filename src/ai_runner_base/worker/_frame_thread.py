"""Runs a `FramePipeline` whose ``transform`` is a plain function: socket, picture, socket, in one thread.

No event loop in between: a hop to it and back costs as much as a small frame. The same thread is the executor
of the pipeline's other plain methods, so that they run between two frames and on the same device context.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from ..pipeline import FramePipeline
from ..wire import frames
from ._control import Vitals
from ._port import FramePort
from ._process import end
from ._reports import Reporter

_EXIT_BROKEN = 70
"""EX_SOFTWARE of sysexits.h: the runner or we broke the protocol."""


class FrameThread(Executor):
    """One thread for whatever is submitted and, after `run_frames_of`, for frames.

    Attribute ``seq_at_job`` is the frame begun last when the last job ended; the loop may set it to None.
    """

    def __init__(self, port: FramePort, vitals: Vitals, reporter: Reporter) -> None:
        self._port = port
        self._vitals = vitals
        self._reporter = reporter
        self.seq_at_job: int | None = None
        self._pipeline: FramePipeline | None = None
        self._jobs: deque[Callable[[], None]] = deque()
        self._inbox: deque[frames.FrameReady] = deque()
        self._stopping = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="ai-runner-frames", daemon=True)
        self._thread.start()

    def run_frames_of(self, pipeline: FramePipeline) -> None:
        """The pipeline is initialized; this thread is the reader of the frame socket from now on."""

        def begin() -> None:
            self._pipeline = pipeline
            self._port.collector = threading.get_ident()
            self._poll.register(self._port.socket, select.POLLIN)

        self.submit(begin)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function between two frames."""
        future: Future[Any] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
                self.seq_at_job = self._port.last_seq
                future.set_result(result)
            except BaseException as error:
                future.set_exception(error)

        self._jobs.append(job)
        self.wake()
        return future

    def wake(self) -> None:
        """Have the thread look around: a job is there, or a session has ended."""
        os.eventfd_write(self._wake_fd, 1)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after the frame in progress."""
        self._stopping = True
        self.wake()
        if wait:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except SystemExit as wish:  # the pipeline wants the process to end, not this thread
            end(wish.code)
        except BaseException:
            traceback.print_exc()
            end(_EXIT_BROKEN)

    def _work(self) -> None:
        while not self._stopping:
            while self._jobs:
                self._jobs.popleft()()
            if self._inbox:
                self._port.send(self._answer(self._inbox.popleft()))
            else:
                self._port.flush()
                self._wait()

    def _wait(self) -> None:
        """Until a message or a wake-up is there."""
        for fd, _ in self._poll.poll():
            if fd == self._wake_fd:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake_fd)
            else:
                self._take_message()

    def _take_message(self) -> None:
        message = self._port.receive()
        if message is None:  # the runner is gone; the control thread ends the process
            self._poll.unregister(self._port.socket)
            return
        for slot in message.freed:
            self._port.ledger.release(slot)
        if isinstance(message, frames.FrameReady):
            self._inbox.append(message)

    def _answer(self, message: frames.FrameReady) -> frames.Result | frames.Returned:
        """One frame through the pipeline. Its input slot is free on return, unless the pipeline keeps it."""
        taken_ns = time.monotonic_ns()
        unanswered = frames.Returned(message.session, message.seq)
        if self._pipeline is None or not self._port.is_wanted(message):
            self._port.free(message.slot)
            self._port.ask(message.session)
            return unanswered
        self._vitals.frame_begins()
        try:
            frame = self._pipeline.process(self._port.frame(message))
            answered_ns = time.monotonic_ns()
            self._vitals.frame_ends()
            slot = self._take_output(message.session)
            if slot is None:
                return unanswered
            picture = self._port.write(slot, frame)
            return frames.Result(message.session, message.seq, *picture, False, taken_ns, answered_ns)
        except Exception as error:
            self._reporter.exception(error, message.seq)
            return unanswered
        finally:
            self._vitals.frame_ends()
            self._port.ask(message.session)

    def _take_output(self, session: int) -> int | None:
        """A free output slot, waiting for it; None when nobody wants the result any more."""
        while (slot := self._port.ledger.take()) is None:
            if self._stopping or not self._port.is_open(session):
                return None
            self._port.flush()
            self._wait()
        return slot
