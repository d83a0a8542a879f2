"""Channels to solve against: builds recipes, mirrors what they need from a Python index, indexes both.

Light at import: py-rattler and py-rattler-build are loaded when there is something to build or to mirror.
"""

from __future__ import annotations

from . import names, versions
from ._given import GivenChannel, given_channels, left_to_others
from ._protocols import Plan, Reporter, Silent, Step
from ._wants import Want
from .building import Built, build
from .host_python import HostPython
from .mirroring import Mirrored, mirror
from .provider import ChannelProvider
from .recipes import Output, Recipe, load, requirements_of

__all__ = [
    "Built",
    "ChannelProvider",
    "GivenChannel",
    "HostPython",
    "Mirrored",
    "Output",
    "Plan",
    "Recipe",
    "Reporter",
    "Silent",
    "Step",
    "Want",
    "build",
    "given_channels",
    "left_to_others",
    "load",
    "mirror",
    "names",
    "requirements_of",
    "versions",
]
