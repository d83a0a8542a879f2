"""scope's pipelines by name, and how one of their classes is imported.

scope calls them nodes where it runs them, and so does this package, to keep its own word *pipeline* for the adapter.
Only ``scope.core.pipelines.NAME.pipeline`` is ever imported: scope's registry installs packages while it is
imported, and its server is not needed.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final

from ai_runner_base.errors import HostError, PipelineError

LIGHT: Final = (
    "passthrough",
    "gray",
    "scribble",
    "rife",
    "video-depth-anything",
    "optical-flow",
    "controller-viz",
)
"""Run on a CPU too, at more or less speed."""
WAN: Final = ("longlive", "streamdiffusionv2", "krea-realtime-video", "memflow", "reward-forcing")
"""Video diffusion on Wan 2.1: a GPU with 20 GB and more."""
NAMES: Final = LIGHT + WAN

DIR_VARIABLE: Final = "SCOPE_DIR"
"""Environment variable: a checkout of scope, where it is not installed as a package."""
CHOICE_VARIABLE: Final = "SCOPE_PIPELINE"
"""Environment variable: the node whose parameters are offered, and which `prepare_models` prepares."""
HOW: Final = "docs/pipelines/scope.md"
_PACKAGE: Final = "scope.core.pipelines"


def chosen() -> str:
    """The node that ``SCOPE_PIPELINE`` names, or the first one.

    :raises HostError: there is none of that name
    """
    name = os.environ.get(CHOICE_VARIABLE) or NAMES[0]
    if name not in NAMES:
        raise HostError(
            f"{CHOICE_VARIABLE}={name!r} is no pipeline of scope", hint=f"there is {', '.join(NAMES)}"
        )
    return name


def node_class(name: str) -> type[Any]:
    """Import the class of a node. Imports torch.

    :param name: one of `NAMES`
    :raises HostError: scope, or a package that it needs, is not in this environment
    :raises PipelineError: scope is there, but not in the shape that this adapter knows
    """
    _add_checkout()
    module_name = f"{_PACKAGE}.{name.replace('-', '_')}.pipeline"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _missing(name, error.name or "") from error
    for found in vars(module).values():
        if isinstance(found, type) and found.__module__ == module_name and _is_called(found, name):
            return found
    raise PipelineError(
        f"{module_name} has no class whose config says pipeline_id = {name!r}",
        hint=f"this adapter was written for the commit of scope that {HOW} names",
    )


def _is_called(found: type[Any], name: str) -> bool:
    config = getattr(found, "get_config_class", lambda: None)()
    return getattr(config, "pipeline_id", None) == name


def _add_checkout() -> None:
    folder = os.environ.get(DIR_VARIABLE)
    if not folder:
        return
    source = Path(folder).expanduser() / "src"
    if not (source / "scope").is_dir():
        raise HostError(f"{DIR_VARIABLE}={folder!r} is no checkout of scope: there is no {source / 'scope'}")
    if str(source) not in sys.path:
        sys.path.append(str(source))


def _missing(name: str, module: str) -> HostError:
    if module.partition(".")[0] == "scope":
        return HostError(
            f"scope's pipeline {name!r} cannot be imported: there is no module {module}",
            hint=f"check scope out and set {DIR_VARIABLE} to that folder: {HOW}",
        )
    return HostError(
        f"scope's pipeline {name!r} needs the Python package {module!r}, which this environment does not have",
        hint=f"add it to the environment: {HOW} lists what the pipelines need",
    )
