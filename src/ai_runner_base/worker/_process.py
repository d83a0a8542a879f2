"""Whom the process dies with, and where its output goes. Set before any pipeline code is imported."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..wire import logs

_PR_SET_PDEATHSIG = 1
_ORPHAN_GRACE_S = 0.5
_STDERR_FD = 2


def take_over(fds: Sequence[int]) -> None:
    """Make this process a worker.

    :param fds: the runner's descriptors; children of the pipeline must not hold them open
    """
    for fd in fds:
        os.set_inheritable(fd, False)
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's business
    faulthandler.enable(_STDERR_FD)
    faulthandler.register(signal.SIGUSR1, _STDERR_FD, all_threads=True)  # the runner asks where we hang
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper


def _die_with_parent() -> None:
    """Have the kernel end us one second after the runner has died, however it died and whatever we do then.

    Until then `leave_orphaned`, woken by the end of the control socket, tries to end in good order and takes
    our own children along. The signal's handler is libc's `alarm` itself: called with the signal's number,
    which for SIGHUP is 1, it sends SIGALRM in one second, also while C code holds the interpreter's lock.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGHUP, ctypes.cast(libc.alarm, ctypes.c_void_p))
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def leave_orphaned() -> None:
    """The runner is gone: a moment for the pipeline's ``stop``, then the end of our whole process group."""
    time.sleep(_ORPHAN_GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def end(code: object) -> NoReturn:
    """End without the interpreter's farewell: the pipeline's ``stop`` was its chance to clean up. Any thread.

    A library's exit handlers and threads that still run are not waited for (torch alone takes one to two seconds).

    :param code: as `SystemExit` has it
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else code is not None)


class RecordHandler(logging.Handler):
    """Log records as lines on stderr, with their level; those marked ``report_error`` also to the runner.

    :param report: called with the message and the traceback, if any
    """

    def __init__(self, report: Callable[[str, str], object]) -> None:
        super().__init__()
        self._report = report
        self._plain = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Never raises into the pipeline's code."""
        try:
            os.write(_STDERR_FD, logs.encode(record.levelno, record.name, self._plain.format(record)))
            if getattr(record, "report_error", False):
                trace = self._plain.formatException(record.exc_info) if record.exc_info else ""
                self._report(record.getMessage(), trace)
        except Exception:
            self.handleError(record)


def send_logs_to_runner(report: Callable[[str, str], object]) -> None:
    """Route the root logger through `RecordHandler`."""
    root = logging.getLogger()
    root.addHandler(RecordHandler(report))
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
