"""Whether WebRTC can be had here, and getting it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import TYPE_CHECKING

from ._errors import UnavailableError

if TYPE_CHECKING:
    from ._peers import Peers


def is_installed() -> bool:
    """Whether `load` has something to load; costs next to nothing."""
    return importlib.util.find_spec("aiortc") is not None


def load() -> type[Peers]:
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
    peers: type[Peers] = module.Peers
    return peers
