"""scope's pipelines by name, and how one of their classes is imported.

scope calls them nodes where it runs them, and so does this package, to keep its own word *pipeline* for the adapter.
Only ``schema`` and ``pipeline`` of ``scope.core.pipelines.NAME`` are ever imported: scope's registry installs packages
while it is imported, and its server is not needed.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
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
_PARENT: Final = "scope.core.pipelines"


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
    """Import the class of a node, and with it torch.

    :param name: one of `NAMES`
    :raises HostError: scope, or a package that it needs, is not in this environment
    :raises PipelineError: scope is there, but not in the shape that this adapter knows
    """
    module = _import(name, f"{_package(name)}.pipeline")
    for found in _classes(module):
        if _id(getattr(found, "get_config_class", lambda: None)()) == name:
            return found
    raise _another_version(module, name)


def config_class(name: str) -> type[Any]:
    """Import the config class of a node, without the node, and without torch where that can be.

    :param name: one of `NAMES`
    :raises HostError: as `node_class`
    :raises PipelineError: as `node_class`
    """
    with _not_executed(_package(name), name):
        module = _import(name, f"{_package(name)}.schema")
    for found in _classes(module):
        if _id(found) == name:
            return found
    raise _another_version(module, name)


def _package(name: str) -> str:
    return f"{_PARENT}.{name.replace('-', '_')}"


def _import(name: str, module_name: str) -> ModuleType:
    _add_checkout()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _missing(name, error.name or "") from error


@contextmanager
def _not_executed(package: str, name: str) -> Iterator[None]:
    """Let modules of a package be imported whose ``__init__`` imports more than is wanted."""
    parent = _import(name, _PARENT)
    if package in sys.modules:
        yield
        return
    empty = ModuleType(package)
    empty.__path__ = [str(Path(folder) / package.rpartition(".")[2]) for folder in parent.__path__]
    sys.modules[package] = empty
    try:
        yield
    finally:
        del sys.modules[package]


def _classes(module: ModuleType) -> list[type[Any]]:
    found = vars(module).values()
    return [each for each in found if isinstance(each, type) and each.__module__ == module.__name__]


def _id(config: Any) -> Any:
    return getattr(config, "pipeline_id", None)


def _another_version(module: ModuleType, name: str) -> PipelineError:
    return PipelineError(
        f"{module.__name__} has no class for pipeline_id = {name!r}",
        hint=f"this adapter was written for the commit of scope that {HOW} names",
    )


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
