"""What `pixi.toml` says, made real: read, solve, install, run tasks. Knows nothing of the live side.

Reading, planning and starting tasks need the standard library only. `Preparer`, which solves and installs,
needs py-rattler and is therefore imported on first use; so is `attestation`, which speaks HTTP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._activation import shell
from ._generations import known_environments, remove_environment, sweep
from ._graph import Job, TaskGraph
from ._home import Home
from ._host import detect_host, remember_host, remembered_host
from ._index_environment import install_from_index
from ._model import Environment, Manifest, Platform, Task
from ._plan import EnvironmentPlan, find_environment, resolve, tasks
from ._platforms import Host, pick_platform, runnable_platform, supported_platforms
from ._protocols import Provider, Reporter, SourcePlan, Step, Variant
from ._reader import read_manifest
from ._ready import Prepared, ready
from ._run import TaskRunner

if TYPE_CHECKING:
    from . import attestation
    from ._install import installed_records
    from ._installer import Changed, Installer, Request, match_spec, package_name
    from ._prepare import Preparer
    from ._solve import solve

_LAZY = {
    "Changed": "._installer",
    "Installer": "._installer",
    "Preparer": "._prepare",
    "Request": "._installer",
    "installed_records": "._install",
    "match_spec": "._installer",
    "package_name": "._installer",
    "solve": "._solve",
}

__all__ = [
    "Changed",
    "Environment",
    "EnvironmentPlan",
    "Home",
    "Host",
    "Installer",
    "Job",
    "Manifest",
    "Platform",
    "Prepared",
    "Preparer",
    "Provider",
    "Reporter",
    "Request",
    "SourcePlan",
    "Step",
    "Task",
    "TaskGraph",
    "TaskRunner",
    "Variant",
    "attestation",
    "detect_host",
    "find_environment",
    "install_from_index",
    "installed_records",
    "known_environments",
    "match_spec",
    "package_name",
    "pick_platform",
    "read_manifest",
    "ready",
    "remember_host",
    "remembered_host",
    "remove_environment",
    "resolve",
    "runnable_platform",
    "shell",
    "solve",
    "supported_platforms",
    "sweep",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name == "attestation":
        return import_module(".attestation", __name__)
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
