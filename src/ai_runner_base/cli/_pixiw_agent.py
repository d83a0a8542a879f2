"""The process in which pixiw's slow work is done: detecting the host, building, solving, installing.

It is apart from the process that a person sees for three reasons. Native code of the solver and the builder
cannot be interrupted by Python's Ctrl-C, but a process can; py-rattler may crash while an interpreter ends,
and nobody has to see that; and the common case, in which nothing is to be done, never pays for importing it.

Protocol: one JSON request on stdin, JSON events by line on the descriptor named in the request, nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import RunnerError
from ..workspace import Home, Preparer, Step, detect_host, read_manifest, remember_host, resolve
from ._pixiw_provider import make_provider

_ADVANCE_INTERVAL_S = 0.1
_PR_SET_PDEATHSIG = 1


class PipeReporter:
    """Sends what is going on to the process that shows it. Callable from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def send(self, event: str, **values: Any) -> None:
        """Write one event."""
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    @contextlib.contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Step]:
        """Show a piece of work until the context ends."""
        number = next(self._ids)
        self.send("step", id=number, stage=stage, name=name, total_bytes=total_bytes)
        step = _PipeStep(self, number)
        failed = True
        try:
            yield step
            failed = False
        finally:
            step.flush()
            self.send("end", id=number, failed=failed)

    def note(self, message: str) -> None:
        """Print one line that stays."""
        self.send("note", text=message)

    def detail(self, message: str) -> None:
        """Write one line for ``-v`` and the log."""
        self.send("detail", text=message)


class _PipeStep:
    """Adds up what was done and tells it a few times a second."""

    def __init__(self, reporter: PipeReporter, number: int) -> None:
        self._reporter, self._number = reporter, number
        self._lock = threading.Lock()
        self._pending_bytes, self._told_s = 0, 0.0

    def advance(self, size_bytes: int) -> None:
        with self._lock:
            self._pending_bytes += size_bytes
            due = time.monotonic() - self._told_s >= _ADVANCE_INTERVAL_S
        if due:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            size_bytes, self._pending_bytes = self._pending_bytes, 0
            self._told_s = time.monotonic()
        if size_bytes:
            self._reporter.send("advance", id=self._number, size_bytes=size_bytes)


def main() -> None:
    """Read a request, work, report, and leave without running the interpreter's shutdown."""
    request = json.load(sys.stdin)
    _die_with_parent(request["parent"])
    reporter = PipeReporter(request["events"])
    try:
        _perform(request, reporter)
        reporter.send("done")
    except RunnerError as error:
        reporter.send(
            "error",
            type=type(error).__name__,
            message=error.message,
            hint=error.hint,
            trace=traceback.format_exc(),
        )
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        reporter.send("error", type="RunnerError", message=text, hint="", trace=traceback.format_exc())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _die_with_parent(parent: int) -> None:
    """Linux ends this process when the other one is killed; elsewhere it finishes what it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _perform(request: Mapping[str, Any], reporter: PipeReporter) -> None:
    home = Home(Path(request["home"]))
    host = detect_host()
    remember_host(home, host)
    if not request["environments"]:
        return
    manifest = read_manifest(Path(request["manifest"]))
    plans = [resolve(manifest, name, host) for name in request["environments"]]
    preparer = Preparer(manifest, home, make_provider(home), reporter, request["purpose"])
    preparer.prepare(plans, frozen=request["frozen"], locked=request["locked"])


if __name__ == "__main__":
    main()
