"""Compiled Python in a new environment, so that its first start is as fast as every later one.

rattler compiles nothing. Modules of packages that another generation or environment has in the same build share
its compiled files.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rattler import PrefixRecord

from ._protocols import Reporter

# Large, and seldom imported; Python compiles them when they are.
_SKIPPED = r"[/\\](tests|lexers|f2py|distutils)[/\\]"
_TIMEOUT_S = 600


def reuse_compiled(old: Path, new: Path, shared: Iterable[PrefixRecord]) -> None:
    """Hard-link the compiled modules of packages that two generations have in the same build."""
    for record in shared:
        for name in record.files:
            if str(name).endswith(".py"):
                _link_compiled(old / name, new / name)


def _link_compiled(old: Path, new: Path) -> None:
    with contextlib.suppress(OSError):
        for compiled in old.parent.joinpath("__pycache__").glob(f"{old.stem}.*.pyc"):
            target = new.parent / "__pycache__" / compiled.name
            target.parent.mkdir(exist_ok=True)
            target.hardlink_to(compiled)


def compile_modules(generation: Path, prefix: Path, reporter: Reporter) -> None:
    """Compile what is not compiled yet with the environment's own interpreter, if it has one.

    A module that does not compile is its package's business and stops nothing.

    :param prefix: the path that tracebacks shall name
    """
    python = generation / "bin" / "python"
    folders = [str(path) for path in generation.glob("lib/python3*/site-packages")]
    if not python.exists() or not folders:
        return
    command = [str(python), "-I", "-m", "compileall", "-q", "-q", "-j", str(os.cpu_count() or 1)]
    command += ["-x", _SKIPPED, "-s", str(generation), "-p", str(prefix), *folders]
    with reporter.step("compile", "Python modules"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        reporter.detail(f"compile: {line}")
