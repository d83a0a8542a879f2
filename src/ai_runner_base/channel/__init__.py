"""Channels to solve against: builds recipes, mirrors what they need from a Python index, indexes both.

Light at import: py-rattler and py-rattler-build are loaded when there is something to build or to mirror.
"""

from __future__ import annotations

from . import names, provenance, versions
from ._given import GivenChannel, given_channels, left_to_others
from ._protocols import Plan, Reporter, Silent, Step
from ._wants import Want
from .building import Built, build, packages_of
from .conda_writer import Package
from .host_python import HostPython
from .mirroring import Mirrored, mirror, refusal
from .package_file import PackagedPipeline, PackageFile, Parcel, read_package, with_files
from .provider import ChannelProvider
from .publishing import KEY_VARIABLES, Target, publish
from .recipes import Output, Recipe, load, requirements_of

__all__ = [
    "KEY_VARIABLES",
    "Built",
    "ChannelProvider",
    "GivenChannel",
    "HostPython",
    "Mirrored",
    "Output",
    "Package",
    "PackageFile",
    "PackagedPipeline",
    "Parcel",
    "Plan",
    "Recipe",
    "Reporter",
    "Silent",
    "Step",
    "Target",
    "Want",
    "build",
    "given_channels",
    "left_to_others",
    "load",
    "mirror",
    "names",
    "packages_of",
    "provenance",
    "publish",
    "read_package",
    "refusal",
    "requirements_of",
    "versions",
    "with_files",
]
