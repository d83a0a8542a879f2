"""Where packages come from: joins `workspace`, which asks, with `channel`, which answers."""

from __future__ import annotations

import os

from ..channel import ChannelProvider, Silent
from ..workspace import Home, known_environments, sweep


def make_provider(home: Home) -> ChannelProvider:
    """The provider of a workspace.

    Recipes are built here; the rest is mirrored from the Python index, or taken from the channels that
    ``PIXIW_CHANNELS`` names (URLs or names, in order of priority, separated by spaces).
    """
    return ChannelProvider(home.channel, upstream=os.environ.get("PIXIW_CHANNELS", "").split())


def clear_unfinished(home: Home) -> None:
    """Remove what a stopped process has left; whoever is at work meanwhile does it by himself."""
    with home.lock_if_free() as free:
        if not free:
            return
        for environment in known_environments(home):
            sweep(home, environment)
        provider = make_provider(home)
        for channel in (provider.local, provider.mirror):
            if channel.path.is_dir():
                with channel.lock(Silent()):
                    pass  # taking the lock removes what the last holder did not finish
