"""Resolve and fetch wheels with pip, so that everything a person has set up for pip holds here, too.

Indexes, credentials, certificates, proxies, constraints and find-links come from pip's own configuration; no
address stands in this program. pip runs as a separate process, on the interpreter that the wheels are for.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from ai_runner_base.errors import HostError

from ._protocols import Reporter, Step
from .host_python import HostPython

# Older ones report no bytes, and are four times slower at reading a large index.
_MODERN = Version("24.1")
_STOP_TIMEOUT_S = 5.0
_TAIL_LINES = 15

_DOWNLOADING = re.compile(r"\s*Downloading (?:\S*/)?([^/\s]+\.whl) \(([\d.]+) (bytes|kB|MB|GB)\)")
_LOCAL = re.compile(r"\s*Processing (\S+\.whl)\b")
_PROGRESS = re.compile(r"\s*Progress (\d+) of (\d+)")
_UNIT_BYTES = {"bytes": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


class PipError(Exception):
    """pip ended with an error.

    :param log: its last lines
    """

    def __init__(self, log: Sequence[str]) -> None:
        super().__init__("\n".join(log))
        self.log = tuple(log)

    @property
    def is_conflict(self) -> bool:
        """The requirements exclude each other."""
        return any("ResolutionImpossible" in line or "conflicting dependencies" in line for line in self.log)

    @property
    def not_found(self) -> str | None:
        """The requirement that nothing satisfied, as pip wrote it: ``foo>=2 (from bar)``."""
        found = re.compile(
            r"Could not find a version that satisfies the requirement (.+?) \(from versions: .*\)"
        )
        return next((match[1] for line in self.log if (match := found.search(line))), None)

    @property
    def is_missing(self) -> bool:
        """There is no pip to run."""
        return any("No module named pip" in line for line in self.log)

    @property
    def is_unreachable(self) -> bool:
        """No index answered."""
        return any("connection broken by" in line or "Max retries exceeded" in line for line in self.log)


@dataclass(frozen=True)
class Pip:
    """How to call pip.

    :param command: program and first arguments
    :param reports_bytes: it can print raw progress
    """

    command: tuple[str, ...]
    reports_bytes: bool

    @classmethod
    def find(cls, python: HostPython, tools_dir: Path) -> Pip:
        """Find a pip that runs on `python`; where the installed one is old or missing, fetch a newer one.

        :param tools_dir: where a fetched pip is kept
        """
        own = _own_version()
        if own is not None and own >= _MODERN and python.is_running:
            return cls((sys.executable, "-m", "pip"), reports_bytes=True)
        runner = sys.executable if python.is_running else str(python.executable)
        with contextlib.suppress(PipError):
            return cls((runner, f"{_fetch_pip(tools_dir, python)}/pip"), reports_bytes=True)
        return cls((runner, "-m", "pip"), reports_bytes=False)

    def download(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Path,
        reporter: Reporter,
    ) -> list[Path]:
        """Resolve requirements and everything that they need, and fetch the wheels.

        :param requirements: PEP 508, all of which hold together
        :param constraints: bind versions of what something else asks for
        :param target: an empty folder for the wheels
        :raises PipError: not found, in conflict, or not to be reached
        """
        target.mkdir(parents=True, exist_ok=True)
        files = {"requirements.txt": requirements, "constraints.txt": constraints}
        for name, lines in files.items():
            (target.parent / name).write_text("".join(f"{line}\n" for line in lines))
        arguments = [*self.command, "download", "--only-binary=:all:", "--no-input", "--dest", str(target)]
        arguments += ["--disable-pip-version-check", "--progress-bar", "raw" if self.reports_bytes else "off"]
        arguments += ["--requirement", str(target.parent / "requirements.txt")]
        arguments += ["--constraint", str(target.parent / "constraints.txt")] if constraints else []
        with _running(arguments, {"TMPDIR": str(target.parent)}) as process:
            _Display(reporter).follow(process)
        return sorted(target.glob("*.whl"))

    def versions(self, project: str) -> list[str]:
        """List the versions of a project that the indexes have, newest first; empty where it is unknown."""
        arguments = [*self.command, "index", "versions", "--no-input", "--disable-pip-version-check", project]
        with _running(arguments, {}) as process:
            lines = list(process.stdout or ())
        listed = next(
            (line.partition(":")[2] for line in lines if line.startswith("Available versions:")), ""
        )
        return [version.strip() for version in listed.split(",") if version.strip()]


def _own_version() -> Version | None:
    try:
        return Version(importlib.metadata.version("pip"))
    except importlib.metadata.PackageNotFoundError:
        return None


def _fetch_pip(tools_dir: Path, python: HostPython) -> Path:
    """Give a wheel of a recent pip; a wheel of pip can be run without being installed."""
    if have := sorted(tools_dir.glob("pip-*.whl")):
        return have[-1]
    tools_dir.mkdir(parents=True, exist_ok=True)
    starter = sys.executable if _own_version() is not None else str(python.executable)
    with tempfile.TemporaryDirectory(dir=tools_dir) as unfinished:
        arguments = [starter, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        arguments += ["--no-input", "--dest", unfinished, f"pip>={_MODERN}"]
        with _running(arguments, {}) as process:
            _wait(process, list(process.stdout or ()))
        wheel = next(Path(unfinished).glob("pip-*.whl"))
        return wheel.replace(tools_dir / wheel.name)


@contextlib.contextmanager
def _running(arguments: Sequence[str], extra: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process whose output is read line by line; it does not outlive the block."""
    environment = {**os.environ, **extra, "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONUNBUFFERED": "1"}
    try:
        process = subprocess.Popen(
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise HostError(f"{arguments[0]} cannot be started: {error}") from error
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


def _wait(process: subprocess.Popen[str], lines: Sequence[str]) -> None:
    if process.wait() != 0:
        told = [line.rstrip() for line in lines if line.strip() and not line.startswith("WARNING: Location")]
        raise PipError(told[-_TAIL_LINES:])


class _Display:
    """Turns what pip prints into steps of a reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._open = contextlib.ExitStack()
        self._step: Step | None = None
        self._done_bytes = 0

    def follow(self, process: subprocess.Popen[str]) -> None:
        """Read until the process ends.

        :raises PipError: it ended with an error
        """
        lines: list[str] = []
        with self._open:
            for line in process.stdout or ():
                if progress := _PROGRESS.match(line):
                    self._advance_to(int(progress[1]))
                    continue
                lines.append(line)
                self._reporter.detail(line.rstrip())
                self._line(line)
            _wait(process, lines)

    def _line(self, line: str) -> None:
        if match := _DOWNLOADING.match(line):
            self._begin(match[1], round(float(match[2]) * _UNIT_BYTES[match[3]]))
        elif match := _LOCAL.match(line):
            path = Path(match[1])
            size = path.stat().st_size if path.is_file() else 0
            self._begin(path.name, size)
            self._advance_to(size)
        elif self._step is not None:
            self._end()

    def _begin(self, wheel: str, size_bytes: int) -> None:
        self._end()
        name, version = wheel.split("-")[:2]
        self._step = self._open.enter_context(self._reporter.step("fetch", f"{name} {version}", size_bytes))
        self._done_bytes = 0

    def _advance_to(self, done_bytes: int) -> None:
        if self._step is not None and done_bytes > self._done_bytes:
            self._step.advance(done_bytes - self._done_bytes)
            self._done_bytes = done_bytes

    def _end(self) -> None:
        self._open.close()
        self._step = None
