"""Lines on a worker's stdout and stderr: log records with their level, and whatever else was printed.

A record of `logging` is one line ``\\x1e LEVEL \\x1f LOGGER \\x1f MESSAGE`` (without the blanks), inner line
ends written as ``\\x1d``. Any other line is what a pipeline or a C library printed. One pipe for all keeps
the order, and what was written before a crash is there after it.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

MAX_LINE_BYTES = 16 * 1024
"""Longer lines are cut into pieces of this size: a pipeline that never ends its line must cost nothing."""

_RECORD, _FIELD, _NEWLINE = "\x1e", "\x1f", "\x1d"


class Line(NamedTuple):
    """One line of a worker's output."""

    level: int
    """As in `logging`; INFO for what was only printed."""
    logger: str
    """Empty for what was only printed."""
    text: str


def encode(level: int, logger: str, text: str) -> bytes:
    """A log record as one line. The end of a long text is kept: there stands the cause of a traceback."""
    head = f"{_RECORD}{level}{_FIELD}{logger[:200]}{_FIELD}".encode("utf-8", "backslashreplace")
    body = text.replace("\r\n", "\n").replace("\n", _NEWLINE).encode("utf-8", "backslashreplace")
    room = MAX_LINE_BYTES - len(head)
    if len(body) > room:
        body = b"..." + body[3 - room :]
    return head + body + b"\n"


class LineReader:
    """Cuts a byte stream into `Line`s. Holds at most one incomplete line."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[Line]:
        """Add bytes as they come.

        :returns: the lines that are complete now; bytes that are no UTF-8 appear as ``\\xNN``
        """
        self._buffer += chunk
        lines = self._buffer.split(b"\n")
        self._buffer = lines.pop()
        while len(self._buffer) > MAX_LINE_BYTES:
            lines.append(self._buffer[:MAX_LINE_BYTES])
            del self._buffer[:MAX_LINE_BYTES]
        return [_parse(bytes(line)) for line in lines]

    def close(self) -> list[Line]:
        """The stream has ended: what is left, if anything."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return [_parse(rest)] if rest else []


def _parse(line: bytes) -> Line:
    text = line[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r")
    if text.startswith(_RECORD):
        level, _, rest = text[1:].partition(_FIELD)
        logger, separator, message = rest.partition(_FIELD)
        if separator and level.isascii() and level.isdigit() and len(level) <= 4:
            return Line(int(level), logger, message.replace(_NEWLINE, "\n"))
    return Line(logging.INFO, "", text)
