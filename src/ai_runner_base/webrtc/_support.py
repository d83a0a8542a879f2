"""Whether WebRTC can be had here, and the errors of its negotiation."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import TYPE_CHECKING

from ..errors import CallerError, HostError

if TYPE_CHECKING:
    from . import _peers

TESTED_VERSIONS = ("1.16.0",)
"""Of aiortc. What reaches into it is left out with any other version: it works, only slower."""


class UnavailableError(HostError):
    """This installation has no WebRTC (HTTP 501)."""

    http_status = 501


class NotAcceptableError(CallerError):
    """The offer is well formed, but there is no codec that both sides know (HTTP 406)."""

    http_status = 406


def is_installed() -> bool:
    """Whether `load` has something to load; costs next to nothing."""
    return importlib.util.find_spec("aiortc") is not None


def load() -> type[_peers.Peers]:
    """Import aiortc and return what makes peers. Takes a third of a second the first time: call it on a thread.

    :raises UnavailableError: aiortc is not installed, or does not load
    """
    try:
        module = importlib.import_module("._peers", __package__)
    except ImportError as error:
        raise UnavailableError(
            f"WebRTC needs the package aiortc, which does not load here: {error}",
            hint="install aiortc into the runner's environment (the environment `webrtc` of pixi.toml has it)",
        ) from error
    # It tells of every candidate pair at level INFO.
    logging.getLogger("aioice").setLevel(logging.WARNING)
    peers: type[_peers.Peers] = module.Peers
    return peers
