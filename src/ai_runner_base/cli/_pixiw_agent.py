"""The process in which pixiw's slow work is done: detecting the host, building, solving, installing.

It is apart from the process that a person sees for three reasons. Native code of the solver and the builder
cannot be interrupted by Python's Ctrl-C, but a process can; py-rattler may crash while an interpreter ends,
and nobody has to see that; and the common case, in which nothing is to be done, never pays for importing it.

Protocol: one JSON request on stdin, JSON events by line on the descriptor named in the request, nothing else.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunnerError
from ..workspace import Home, Preparer, detect_host, read_manifest, remember_host, resolve
from ._pixiw_events import EventReporter
from ._pixiw_provider import make_provider

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read a request, work, report, and leave without running the interpreter's shutdown."""
    request = json.load(sys.stdin)
    _die_with_parent(request["parent"])
    reporter = EventReporter(functools.partial(_write, request["events"]))
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


def _write(descriptor: int, event: Mapping[str, Any]) -> None:
    line = json.dumps(event).encode() + b"\n"
    while line:
        line = line[os.write(descriptor, line) :]


def _die_with_parent(parent: int) -> None:
    """Linux ends this process when the other one is killed; elsewhere it finishes what it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _perform(request: Mapping[str, Any], reporter: EventReporter) -> None:
    home = Home(Path(request["home"]))
    os.environ["RATTLER_CACHE_DIR"] = str(home.cache)  # for builds, which know no other way to be told
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
