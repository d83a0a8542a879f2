"""Read wheels and turn them into conda packages.

A wheel for any interpreter and platform becomes ``noarch: python``; any other becomes a package of this
platform for one minor version of Python, because its files stand in ``lib/pythonX.Y/site-packages`` (``abi3``
wheels, too). The build string holds a hash of everything that went in: one file name never has two contents.
Sources: PEP 427, PEP 491, PEP 600, the "Binary distribution format" page of the Python packaging guide.
"""

from __future__ import annotations

import calendar
import functools
import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from ai_runner_base.errors import HostError

from . import names, versions
from ._wheel_files import WheelFiles
from .conda_writer import CondaWriter, Package, PackageIndex
from .host_python import HostPython
from .requires import dependencies

BUILD_NUMBER = 0
"""Raise it when the conversion changes: solvers prefer the higher number, so old conversions may stay."""

_THREADED_FROM_BYTES = 32 << 20
_FIRST_MTIME_S, _MTIME_RANGE_S = 1_577_836_800, 4 * 365 * 86_400


@dataclass(frozen=True)
class Wheel:
    """A wheel file and its metadata.

    :param name: canonical PyPI name
    :param sha256: of the file, in hexadecimal
    :param timestamp_s: of its newest member; the best repeatable guess at when it was made
    """

    path: Path
    name: str
    version: Version
    tags: frozenset[Tag]
    metadata: Message
    sha256: str
    timestamp_s: int

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read name, tags and metadata; the files stay where they are.

        :raises HostError: not a wheel
        """
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            with zipfile.ZipFile(path) as archive:
                info = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
                metadata = HeaderParser().parsestr(archive.read(info).decode())
                newest = max(entry.date_time for entry in archive.infolist())
        except (InvalidWheelFilename, zipfile.BadZipFile, UnicodeDecodeError, StopIteration) as error:
            raise HostError(f"{path.name} is not a usable wheel: {error or 'no METADATA'}") from error
        return cls(path, name, version, tags, metadata, sha256, calendar.timegm(newest))

    @functools.cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """Requires-Dist, parsed.

        :raises HostError: a requirement that does not follow PEP 508
        """
        try:
            return tuple(Requirement(text) for text in self.metadata.get_all("Requires-Dist") or ())
        except InvalidRequirement as error:
            raise HostError(f"{self.path.name} has a requirement that cannot be read: {error}") from error

    @functools.cached_property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    @property
    def is_pure(self) -> bool:
        """Made for any interpreter and platform."""
        return all(tag.platform == "any" and tag.abi == "none" for tag in self.tags)

    @property
    def flavour(self) -> str:
        """What distinguishes builds of one version: the local part; for torch, also what it requires."""
        local = versions.local_build(self.version)
        if local or self.name != "torch":
            return local
        cuda = any(re.match(r"nvidia-|cuda-", canonicalize_name(r.name)) for r in self.requirements)
        return "cuda" if cuda else "cpu"


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a wheel will be packed: everything but the files.

    `index.file_name` is known without reading them, so whoever has that file already has nothing to do.
    """

    wheel: Wheel
    index: PackageIndex
    python: HostPython


def plan(wheel: Wheel, closure: Mapping[str, Wheel], python: HostPython) -> Conversion:
    """Decide a package's name, build string and dependencies.

    :param closure: the wheels that were resolved together, by canonical name; extras are looked up there
    :param python: the interpreter that the package is for
    :raises HostError: metadata that cannot be translated
    """
    lookup = functools.partial(_requirements, closure, wheel)
    found = dependencies(wheel.name, wheel.requirements, python.markers, lookup)
    noarch = wheel.is_pure
    bound = found.python_bound or not noarch
    needs = f"python {python.minor}.*" if bound else _python_spec(wheel)
    depends = (needs, *found.specs, *(() if noarch else platform_floor(wheel.tags)))
    digest = hashlib.sha256("\n".join((wheel.sha256, python.site_packages, *depends)).encode()).hexdigest()[
        :7
    ]
    kind = "pyh" if noarch else f"py{python.minor.replace('.', '')}h"
    index = PackageIndex(
        name=names.to_conda(wheel.name),
        version=versions.conda_version(wheel.version),
        build="_".join(filter(None, (wheel.flavour, f"{kind}{digest}", str(BUILD_NUMBER)))),
        build_number=BUILD_NUMBER,
        subdir="noarch" if noarch else python.subdir,
        depends=depends,
        license=_license(wheel.metadata),
        timestamp_ms=wheel.timestamp_s * 1000,
        noarch="python" if noarch else None,
        purls=(f"pkg:pypi/{wheel.name}@{wheel.version.public}",),
    )
    return Conversion(wheel, index, python)


def _requirements(closure: Mapping[str, Wheel], wheel: Wheel, name: str) -> tuple[Requirement, ...]:
    if name == wheel.name:
        return wheel.requirements
    if name not in closure:
        raise HostError(f"{wheel.name} wants an extra of {name}, which was not resolved with it")
    return closure[name].requirements


def _python_spec(wheel: Wheel) -> str:
    text = wheel.metadata.get("Requires-Python") or ""
    try:
        return f"python {versions.to_conda(SpecifierSet(text))}".strip()
    except InvalidSpecifier:  # such as >=3.6.* in old wheels, which pip, too, takes for any Python
        return "python"


def platform_floor(tags: frozenset[Tag]) -> tuple[str, ...]:
    """Give what platform tags demand of the host, e.g. ``__glibc >=2.17``.

    A wheel with several tags runs on the oldest of them.
    """
    legacy = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    glibc = [legacy[t] for tag in tags if (t := tag.platform.split("_")[0]) in legacy]
    glibc += [
        (int(m[1]), int(m[2])) for tag in tags if (m := re.match(r"manylinux_(\d+)_(\d+)_", tag.platform))
    ]
    if glibc:
        return ("__glibc >={}.{}".format(*min(glibc)),)
    macos = [(int(m[1]), int(m[2])) for tag in tags if (m := re.match(r"macosx_(\d+)_(\d+)_", tag.platform))]
    return ("__osx >={}.{}".format(*min(macos)),) if macos else ()


def _license(metadata: Message) -> str | None:
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    first_line = (metadata.get("License") or "").strip().split("\n")[0]
    if first_line and len(first_line) <= 60:
        return first_line
    trove = [c for c in metadata.get_all("Classifier") or () if c.startswith("License :: ")]
    return trove[0].rsplit(" :: ", 1)[1] if trove else None


def convert(conversion: Conversion, channel_dir: Path, advance: Callable[[int], None]) -> Package:
    """Write the package.

    :param advance: told how many bytes of the wheel have been dealt with
    :returns: the finished package
    :raises HostError: a file differs from the wheel's RECORD, or would land outside of the prefix
    """
    wheel, index = conversion.wheel, conversion.index
    workers = 1 if wheel.size_bytes >= _THREADED_FROM_BYTES else 0
    mtime_s = _FIRST_MTIME_S + int(wheel.sha256[:8], 16) % _MTIME_RANGE_S
    with zipfile.ZipFile(wheel.path) as archive:
        with CondaWriter(channel_dir, index, mtime_s=mtime_s, workers=workers) as writer:
            WheelFiles(archive, writer, conversion.python, wheel.path.name).copy(advance)
            return writer.close(_about(wheel, index))


def _about(wheel: Wheel, index: PackageIndex) -> dict[str, object]:
    urls = {}
    for line in wheel.metadata.get_all("Project-URL") or ():
        label, _, url = line.partition(",")
        urls[re.sub(r"[^a-z]", "", label.lower())] = url.strip()
    return {
        "summary": wheel.metadata.get("Summary"),
        "license": index.license,
        "home": urls.get("homepage") or wheel.metadata.get("Home-page"),
        "dev_url": urls.get("source") or urls.get("sourcecode") or urls.get("repository"),
        "doc_url": urls.get("documentation") or urls.get("docs"),
        "extra": {"wheel": wheel.path.name, "wheel_sha256": wheel.sha256},
    }
