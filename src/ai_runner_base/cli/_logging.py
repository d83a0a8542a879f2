"""Log lines in the shape that operators of Livepeer runners parse, or as JSON objects with the same keys."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Iterator
from logging.handlers import QueueHandler

from ..log_context import lost_lines, stream_ids

log = logging.getLogger(__name__)

KEPT_LINES = 1000
"""What waits while nobody reads standard error: some seconds of a runner that has much to say."""
LAST_WORDS_LIMIT_S = 1.0


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "timestamp": _timestamp(record.created),
            "level": record.levelname,
            "location": f"{record.filename}:{record.lineno}:{record.funcName}",
            **stream_ids(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if self._as_json:
            return json.dumps(fields, ensure_ascii=False)
        return " ".join(f"{key}={value}" for key, value in fields.items())


def _timestamp(seconds: float) -> str:
    millis = int(seconds % 1 * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{millis:03d}Z"


def configure(*, verbose: bool, as_json: bool) -> None:
    """Send log lines to standard error; standard output belongs to a command's answer."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(as_json=as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for noisy in ("aiohttp.access", "asyncio", "libav"):
        logging.getLogger(noisy).setLevel(logging.INFO if verbose else logging.WARNING)


@contextlib.contextmanager
def never_waiting(kept_lines: int = KEPT_LINES) -> Iterator[None]:
    """Let a thread write the log lines of a block, so that it goes on whatever becomes of standard error.

    A pipe that nobody empties stops whoever writes to it: a runner would answer nobody any more. Lines that find no
    room are dropped and counted, and the count is told as soon as somebody reads again.

    :param kept_lines: that may wait
    """
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        writer = _Writer(sys.stderr.fileno(), kept_lines)
    except (AttributeError, OSError, ValueError):  # no file, or a closed one: nothing that could be stuck
        yield
        return
    root.handlers[:] = [_Outbox(handler.formatter, writer) for handler in before]
    try:
        yield
    finally:
        root.handlers[:] = before
        writer.close()


class _Outbox(QueueHandler):
    """Puts finished lines where the writer finds them; the stream that they belong to is known only here."""

    def __init__(self, formatter: logging.Formatter | None, writer: _Writer) -> None:
        super().__init__(writer.lines)
        self.setFormatter(formatter)
        self._writer = writer

    def enqueue(self, record: logging.LogRecord) -> None:
        self._writer.put(record.getMessage())


class _Writer:
    """Writes lines to a descriptor on a thread that may get stuck there.

    It writes past `sys.stderr`, whose lock it would keep from everybody at the end of the process.
    """

    def __init__(self, fd: int, kept_lines: int) -> None:
        self.lines: queue.Queue[str | None] = queue.Queue(kept_lines)
        self._fd = fd
        self._told = lost_lines.count
        self._thread = threading.Thread(target=self._run, name="write log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        try:
            self.lines.put_nowait(line)
        except queue.Full:
            lost_lines.add()

    def close(self) -> None:
        """Write what waits, as long as somebody reads it."""
        with contextlib.suppress(queue.Full):
            self.lines.put(None, timeout=LAST_WORDS_LIMIT_S)
            self._thread.join(LAST_WORDS_LIMIT_S)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the reader is gone for good
            while (line := self.lines.get()) is not None:
                self._write(line)
                self._tell_lost()

    def _tell_lost(self) -> None:
        """Speak of what was lost, after the lines that were before it."""
        lost = lost_lines.count - self._told
        if lost and self.lines.empty():
            self._told += lost
            log.warning("%d log line(s) were dropped: nobody read standard error", lost)

    def _write(self, line: str) -> None:
        data = f"{line}\n".encode(errors="backslashreplace")
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody who shares it has made it so
                select.select((), (self._fd,), ())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep our own log lines back: those of workers that are made to misbehave, say."""
    logger = logging.getLogger("ai_runner_base")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
