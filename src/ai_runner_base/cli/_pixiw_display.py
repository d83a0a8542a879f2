"""What a person sees while pixiw works: moving lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PAST = {
    "build": "built",
    "check": "checked",
    "compile": "compiled",
    "convert": "converted",
    "fetch": "fetched",
    "index": "indexed",
    "link": "linked",
    "resolve": "resolved",
    "solve": "solved",
    "test": "tested",
    "upload": "uploaded",
    "verify": "verified",
}
_SUMMED_UP = frozenset({"convert", "fetch"})
"""Stages with many short steps: on a terminal they leave one line together."""


@dataclass
class _Running:
    stage: str
    name: str
    total_bytes: int | None
    started_s: float = field(default_factory=time.monotonic)
    done_bytes: int = 0
    task: TaskID | None = None


class Display:
    """Shows events of the working process on stderr, so that stdout stays the task's.

    :param verbosity: -1 shows errors only, 0 the usual, 1 and more every detail
    """

    def __init__(self, verbosity: int, stream: IO[str] | None = None) -> None:
        self._verbosity = verbosity
        self._stream = stream if stream is not None else sys.stderr
        self._live = verbosity >= 0 and self._stream.isatty()
        self._progress: Progress | None = None
        self._running: dict[int, _Running] = {}
        self._sums: dict[str, tuple[int, int, float]] = {}

    def handle(self, event: dict[str, Any]) -> None:
        """Show one event; see `_pixiw_events.EventReporter`."""
        match event["event"]:
            case "step":
                self._start(event["id"], _Running(event["stage"], event["name"], event["total_bytes"]))
            case "advance":
                self._advance(event["id"], event["size_bytes"])
            case "end":
                self._end(event["id"], failed=event["failed"])
            case "note" if self._verbosity >= 0:
                self._sum_up()
                self.line(event["text"])
            case "detail" if self._verbosity > 0:
                self.line(event["text"])

    def line(self, text: str) -> None:
        """Print a line that stays, above the moving ones."""
        if self._progress is not None:
            self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Say what was summed up and remove the moving lines. Must be called before a task starts."""
        self._sum_up()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._running.clear()

    def _sum_up(self) -> None:
        sums, self._sums = self._sums, {}
        for stage, (count, size_bytes, seconds) in sums.items():
            self.line(f"{PAST[stage]} {count} files ({_measures(size_bytes, seconds)})")

    def _start(self, number: int, running: _Running) -> None:
        self._running[number] = running
        if self._live:
            if self._progress is None:
                self._progress = _make_progress(self._stream)
                self._progress.start()
            label = f"{running.stage} {running.name}"
            running.task = self._progress.add_task(label, total=running.total_bytes)

    def _advance(self, number: int, size_bytes: int) -> None:
        running = self._running[number]
        running.done_bytes += size_bytes
        if self._progress is not None and running.task is not None:
            self._progress.advance(running.task, size_bytes)

    def _end(self, number: int, *, failed: bool) -> None:
        running = self._running.pop(number)
        if self._progress is not None and running.task is not None:
            self._progress.remove_task(running.task)
        if failed or self._verbosity < 0:
            return
        seconds = time.monotonic() - running.started_s
        size_bytes = running.done_bytes or running.total_bytes or 0
        if self._live and running.stage in _SUMMED_UP:
            count, before_bytes, before_s = self._sums.get(running.stage, (0, 0, 0.0))
            self._sums[running.stage] = (count + 1, before_bytes + size_bytes, before_s + seconds)
        else:
            verb = PAST.get(running.stage, running.stage)
            self._sum_up()
            self.line(f"{verb} {running.name} ({_measures(size_bytes, seconds)})")


def _measures(size_bytes: int, seconds: float) -> str:
    size = f"{size_bytes / 1e6:.1f} MB, " if size_bytes >= 50_000 else ""
    return f"{size}{seconds:.1f} s"


def _make_progress(stream: IO[str]) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    class Size(DownloadColumn):
        """Bytes, of steps that have any."""

        def render(self, task: Task) -> Text:
            return super().render(task) if task.total is not None else Text()

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        Size(),
        TimeElapsedColumn(),
        console=Console(file=stream),
        transient=True,
        refresh_per_second=8,
    )
