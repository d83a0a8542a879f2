"""Starts the working process, shows what it says, and ends it completely when a person has had enough."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from .. import errors
from ..errors import HostError, RunnerError
from ..workspace import Home
from ._pixiw_display import Display

_SOURCE = Path(__file__).resolve().parents[2]
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from ai_runner_base.cli._pixiw_agent import main; main()"
)


class Terminated(KeyboardInterrupt):
    """SIGTERM came; handled like Ctrl-C, but the exit code says so."""


def raise_on_sigterm() -> None:
    """Turn SIGTERM into an exception, so that the working process is ended too."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, handler)


class Worker:
    """Has things done in another process.

    :param purpose: for others that wait for us
    """

    def __init__(self, home: Home, manifest: Path, display: Display, purpose: str) -> None:
        self._home, self._manifest = home, manifest
        self._display, self._purpose = display, purpose

    def detect_host(self) -> None:
        """Have the host detected and remembered."""
        self._work([], frozen=False, locked=False)

    def prepare(self, environments: Sequence[str], *, frozen: bool, locked: bool) -> None:
        """Have environments made ready.

        :raises RunnerError: what the working process ran into
        :raises KeyboardInterrupt: it has been ended, with everything that it had started
        """
        self._work(environments, frozen=frozen, locked=locked)

    def _work(self, environments: Sequence[str], *, frozen: bool, locked: bool) -> None:
        self._home.make()
        read_end, write_end = os.pipe()
        request = {
            "parent": os.getpid(),
            "events": write_end,
            "home": str(self._home.root),
            "manifest": str(self._manifest),
            "environments": list(environments),
            "frozen": frozen,
            "locked": locked,
            "purpose": self._purpose,
        }
        with self._home.log.open("wb") as log, os.fdopen(read_end, "rb") as events:
            child = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, str(_SOURCE)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[write_end],
                process_group=0,
            )
            os.close(write_end)
            try:
                self._follow(child, events, json.dumps(request).encode())
            except BaseException:
                self._end(child)
                raise
            finally:
                self._display.close()

    def _follow(self, child: subprocess.Popen[bytes], events: Any, request: bytes) -> None:
        assert child.stdin is not None  # noqa: S101  (asked for as a pipe above)
        with child.stdin:
            child.stdin.write(request)
        for line in events:
            event = json.loads(line)
            if event["event"] == "done":
                child.wait()
                return
            if event["event"] == "error":
                child.wait()
                raise self._error(event)
            self._log(event)
            self._display.handle(event)
        code = child.wait()
        hint = f"please report it, with {self._home.log}"
        raise RunnerError(f"the working process ended with code {code} before it was done", hint=hint)

    def _log(self, event: dict[str, Any]) -> None:
        text = event.get("text") or (f"{event['stage']} {event['name']}" if event["event"] == "step" else "")
        if text:
            with self._home.log.open("a", encoding="utf-8") as log:
                log.write(f"{text}\n")

    def _error(self, event: dict[str, Any]) -> RunnerError:
        kind = getattr(errors, event["type"], HostError)
        with self._home.log.open("a", encoding="utf-8") as log:
            log.write(event["trace"])
        made: RunnerError = kind(event["message"], hint=event["hint"])
        return made

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Kill the working process with all it has started, which nothing it does minds, and clear up."""
        from ._pixiw_provider import clear_unfinished

        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        clear_unfinished(self._home)
        signal.signal(signal.SIGINT, before)
