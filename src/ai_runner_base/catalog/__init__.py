"""Which pipelines are installed, here and in sibling environments: read from package metadata, importing none
of them.
"""

from ._activation import activation_environment
from ._catalog import Catalog
from ._describe import describe
from ._generation import Generation
from ._installed import CondaPackage, InstalledPipeline, Problem
from ._prefixes import environment_name, environments_folder, known_prefixes
from ._report import ShippedCheck, report_file, shipped_check

__all__ = [
    "Catalog",
    "CondaPackage",
    "Generation",
    "InstalledPipeline",
    "Problem",
    "ShippedCheck",
    "activation_environment",
    "describe",
    "environment_name",
    "environments_folder",
    "known_prefixes",
    "report_file",
    "shipped_check",
]
