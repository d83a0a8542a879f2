"""A `python` package that is the host's own interpreter.

The package only links: ``bin/python3.11`` is a symbolic link to the interpreter, and ``pyvenv.cfg`` makes
the prefix a virtual environment of it. Standard library, headers and certificates stay the host's; modules
are looked up in the prefix. That works with shared and static interpreters, with Debian's patched paths, and
for building recipes; a copied interpreter would go on loading the original's ``libpython`` or look into
``dist-packages``.
The price: the package is good for this machine alone, so its build string names the interpreter.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from ai_runner_base.errors import HostError

from . import _probe, versions
from .conda_writer import CondaWriter, Package, PackageIndex

_OLDEST_MINOR = (3, 9)
_PROBE_TIMEOUT_S = 30
_STAMP_S = 1_700_000_000
_ARCHITECTURES = {"x86_64": "64", "amd64": "64", "arm64": "arm64", "aarch64": "aarch64", "ppc64le": "ppc64le"}


@dataclass(frozen=True)
class HostPython:
    """An interpreter of this machine.

    :param executable: real path, no link of a virtual environment
    :param version: e.g. ``3.11.7``
    :param build: what else distinguishes it (compile date, compiler, ABI)
    :param subdir: platform in conda's words, e.g. ``linux-64``
    :param site_packages: relative to a prefix, e.g. ``lib/python3.11/site-packages``
    :param markers: values of PEP 508 markers
    """

    executable: Path
    version: str
    build: str
    subdir: str
    site_packages: str
    markers: Mapping[str, str]

    @classmethod
    def current(cls) -> HostPython:
        """Describe the interpreter that runs this, without starting a process (0.1 ms)."""
        return cls._from_probe(_probe.probe())

    @classmethod
    def inspect(cls, executable: Path) -> HostPython:
        """Describe another interpreter by running it.

        :raises HostError: it does not run, or is too old
        """
        command = [str(executable), "-I", _probe.__file__]
        try:
            done = subprocess.run(
                command, capture_output=True, check=True, text=True, timeout=_PROBE_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            raise HostError(f"{executable} is not a usable Python interpreter: {said}") from error
        return cls._from_probe(json.loads(done.stdout))

    @classmethod
    def _from_probe(cls, found: Mapping[str, Any]) -> HostPython:
        version = Version(found["version"])
        if version.release[:2] < _OLDEST_MINOR:
            oldest = ".".join(map(str, _OLDEST_MINOR))
            raise HostError(f"{found['executable']} is Python {version}; at least {oldest} is needed")
        return cls(
            executable=Path(found["executable"]),
            version=versions.conda_version(version),
            build=found["build"],
            subdir=_subdir(found["platform"]),
            site_packages=found["site_packages"],
            markers=found["markers"],
        )

    @property
    def minor(self) -> str:
        """First two numbers of the version: ``3.11``."""
        return ".".join(map(str, Version(self.version).release[:2]))

    @property
    def tag(self) -> str:
        """Seven hexadecimal digits that change with path, version or build of the interpreter."""
        return hashlib.sha256(f"{self.executable}\n{self.version}\n{self.build}".encode()).hexdigest()[:7]

    @property
    def is_running(self) -> bool:
        """Whether this program runs on it."""
        return self.executable == HostPython.current().executable


def _subdir(platform: str) -> str:
    """Translate ``linux-x86_64`` or ``macosx-14.0-arm64`` into conda's words."""
    system, *_, machine = platform.split("-")
    if system not in ("linux", "macosx") or machine not in _ARCHITECTURES:
        raise HostError(
            f"packages cannot be made on {platform}", hint="use pixi with conda-forge on this machine"
        )
    return f"{'osx' if system == 'macosx' else 'linux'}-{_ARCHITECTURES[machine]}"


def package_index(python: HostPython) -> PackageIndex:
    """Give the record of the `python` package; its build string is ``hostlink_TAG_0``."""
    return PackageIndex(
        name="python",
        version=python.version,
        build=f"hostlink_{python.tag}_0",
        subdir=python.subdir,
        timestamp_ms=_STAMP_S * 1000,
        license="Python-2.0",
        site_packages=python.site_packages,
    )


def abi_index(python: HostPython) -> PackageIndex:
    """Give the record of ``python_abi``, an empty package that packages with compiled code may ask for."""
    threads = "t" if python.site_packages.split("/")[1].endswith("t") else ""
    return PackageIndex(
        name="python_abi",
        version=python.minor,
        build=f"0_cp{python.minor.replace('.', '')}{threads}",
        subdir="noarch",
        noarch="generic",
        timestamp_ms=_STAMP_S * 1000,
        constrains=(f"python {python.minor}.*",),
        license="BSD-3-Clause",
    )


def write(python: HostPython, channel_dir: Path) -> tuple[Package, ...]:
    """Write the two packages.

    :returns: the finished ``.conda`` files: ``python``, ``python_abi``
    """
    index = package_index(python)
    home = python.executable.parent
    config = (
        f"home = {home}\ninclude-system-site-packages = false\n"
        f"version = {python.version}\nexecutable = {python.executable}\n"
    )
    with CondaWriter(channel_dir, index, mtime_s=_STAMP_S + int(python.tag, 16) % 1_000_000) as writer:
        writer.symlink(f"bin/python{python.minor}", str(python.executable))
        for name in ("python", "python3"):
            writer.symlink(f"bin/{name}", f"python{python.minor}")
        writer.file("pyvenv.cfg", config.encode())
        first = writer.close(
            {"summary": f"the host's interpreter, {python.executable}", "license": "Python-2.0"}
        )
    with CondaWriter(channel_dir, abi_index(python), mtime_s=_STAMP_S) as writer:
        return first, writer.close({"summary": "names the ABI of the python package"})
