"""Log lines in the shape that operators of Livepeer runners parse, or as JSON objects with the same keys."""

from __future__ import annotations

import json
import logging
import sys
import time

from ..log_context import stream_ids


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
