"""An environment from a Python index, for pipelines without a conda package. Needs uv or pip, not py-rattler.

A virtual environment as a generation: made beside the old one, started once, then switched to, as every other.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ..errors import CallerError, HostError
from ._generations import make_current, mark_complete, new_generation, sweep
from ._home import Home, write_json
from ._protocols import Reporter

_TIMEOUT_S = 1800
_SAID_CHARS = 600


def install_from_index(
    requirement: str, home: Home, environment: str, reporter: Reporter, accept: Callable[[Path], object]
) -> Path:
    """Make an environment that holds a distribution and its requirements.

    :param requirement: as pip reads it, e.g. ``my-pipeline==1.2``
    :param accept: the start test; raises to refuse the new environment
    :returns: the prefix
    :raises CallerError: the installer refuses; its words are passed on
    :raises HostError: there is no installer, or the folder cannot be written to
    """
    prefix = home.prefix(environment)
    if prefix.exists() and not prefix.is_symlink():
        raise CallerError(f"{prefix} was not made by ai-runner", hint="remove it, or install by hand")
    with home.locked(f"install in {environment}", reporter.note):
        sweep(home, environment)
        generation = new_generation(home, environment)
        try:
            _fill(requirement, generation, reporter)
            accept(generation)
        except BaseException:
            shutil.rmtree(generation, ignore_errors=True)
            raise
        mark_complete(generation)
        make_current(home, environment, generation)
    return prefix


def _fill(requirement: str, generation: Path, reporter: Reporter) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(generation)
    (generation / "conda-meta").mkdir()
    kept = {"specs": [re.split(r"[^\w.-]", requirement)[0].lower()], "index": True}
    write_json(generation / "conda-meta" / "ai-runner", kept)
    command = [*_installer(generation / "bin/python"), "--", requirement]
    with reporter.step("fetch", requirement):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-_SAID_CHARS:]
        raise CallerError(f"{requirement} cannot be installed from the Python index: {said}")


def _installer(python: Path) -> list[str]:
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", str(python)]
    if find_spec("pip") is None:
        raise HostError(
            "installing from a Python index needs uv or pip", hint="install one of them beside the runner"
        )
    return [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input"]
