"""Where packages come from: joins `workspace`, which asks, with `channel`, which answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import CallerError
from ..workspace import Home, Provider, Reporter, SourcePlan, Variant


def make_provider(home: Home, root: Path) -> Provider:
    """The provider of a workspace: the channels named in ``PIXIW_CHANNELS``."""
    return GivenChannels(os.environ.get("PIXIW_CHANNELS", "").split())


class GivenChannels:
    """Channels that somebody else keeps; nothing is built or mirrored here."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)

    def inputs(self, plan: SourcePlan) -> Sequence[Path]:
        """Nothing in this repository decides what such channels hold."""
        return ()

    def variants(self, plan: SourcePlan) -> Sequence[Variant]:
        """Nothing is rendered."""
        return ()

    def provide(self, plan: SourcePlan, reporter: Reporter) -> Sequence[str]:
        """The channels as they are.

        :raises CallerError: the plan has in-repo packages, which nobody builds
        """
        if plan.recipes:
            raise CallerError("PIXIW_CHANNELS and in-repo packages exclude each other")
        return self._urls
