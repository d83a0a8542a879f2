"""Why a build failed, in words that py-rattler-build keeps to itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ai_runner_base.errors import PipelineError

from ._protocols import Reporter
from ._store import run
from .recipes import Output

_TAIL_LINES = 25
# What is said about how to go on by hand names folders that are gone by then.
_NOISE = re.compile(
    r"Script execution failed|Work directory:|^\s*Prefix:|Build prefix:|To run |^\s*cd |repodata|^\s*$"
)


class LogEvent(Protocol):
    """What py-rattler-build tells a progress callback."""

    level: str
    message: str


class BuildLog:
    """Collects the log of one build; an instance is a progress callback of py-rattler-build.

    :param path: where the whole log is kept after a failure
    """

    def __init__(self, path: Path, reporter: Reporter) -> None:
        self._path, self._reporter = path, reporter
        self._lines: list[str] = []

    def on_log(self, event: LogEvent) -> None:
        """Take a line."""
        self._lines.append(event.message)
        self._reporter.detail(event.message)

    def tail(self) -> list[str]:
        """Give the last lines that say something."""
        lines = "\n".join(self._lines).splitlines()
        return [line for line in lines if not _NOISE.search(line)][-_TAIL_LINES:]

    def discard(self) -> None:
        """Remove the file of an earlier failure."""
        self._path.unlink(missing_ok=True)

    def keep(self) -> Path:
        """Write the log to its file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("\n".join(self._lines) + "\n")
        return self._path


def build_failure(
    error: Exception, file: Path, output: Output, log: BuildLog, channels: Sequence[str]
) -> PipelineError:
    """Say what went wrong with a recipe, with the end of the log or the solver's own reason."""
    kept = log.keep()
    reason = str(error).removeprefix("PyRattlerBuildError: ").strip()
    what = f"{output.name} {output.version} of {file} cannot be built: {reason}"
    unmet = _unmet(output, channels) if "resolve" in reason.lower() else ""
    detail = unmet or "\n".join(log.tail())
    return PipelineError(f"{what}\n{detail}", hint=f"the whole log is in {kept}", remote_traceback=detail)


def _unmet(output: Output, channels: Sequence[str]) -> str:
    """Solve each list of requirements again, for the solver's explanation."""
    import rattler
    from rattler.exceptions import SolverError

    from ._asks import strict

    found = rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env())
    virtual = [package.into_generic() for package in found]
    wanted = {
        "build": output.build_tools,
        "host": output.host,
        "run": output.depends,
        "test": output.tested_with,
    }
    for kind, specs in wanted.items():
        try:
            run(rattler.solve(sources=list(channels), specs=strict(specs), virtual_packages=virtual))
        except SolverError as error:
            return f"{kind} requirements: {error}"
    return ""
