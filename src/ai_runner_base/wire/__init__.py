"""What crosses the wall between runner and worker, as bytes. No asyncio, no sockets.

`control`: JSON messages on a stream socket; `frames`: 64-byte messages on a sequenced-packet socket, one per
frame; `logs`: lines on the worker's stdout and stderr.
"""

from __future__ import annotations

from . import control, frames, logs
from ._errors import WireError
from .control import PROTOCOL_VERSION

__all__ = ["PROTOCOL_VERSION", "WireError", "control", "frames", "logs"]
