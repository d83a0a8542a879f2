"""Where packages come from: joins `workspace`, which asks, with `channel`, which answers."""

from __future__ import annotations

import os

from ..channel import ChannelProvider
from ..workspace import Home, Provider


def make_provider(home: Home) -> Provider:
    """The provider of a workspace.

    Recipes are built here; the rest is mirrored from the Python index, or taken from the channels that
    ``PIXIW_CHANNELS`` names (URLs or names, in order of priority, separated by spaces).
    """
    return ChannelProvider(home.channel, upstream=os.environ.get("PIXIW_CHANNELS", "").split())
