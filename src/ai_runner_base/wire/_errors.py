"""The one error of this room."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes from the other side that are not a message of this protocol, or a message too large to send."""
