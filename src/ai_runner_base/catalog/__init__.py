"""Which pipelines are installed, here and in sibling environments: read from package metadata, importing none
of them.
"""

from ._activation import activation_environment
from ._catalog import Catalog
from ._describe import describe
from ._installed import CondaPackage, InstalledPipeline, Problem
from ._prefixes import environment_name, known_prefixes

__all__ = [
    "Catalog",
    "CondaPackage",
    "InstalledPipeline",
    "Problem",
    "activation_environment",
    "describe",
    "environment_name",
    "known_prefixes",
]
