"""Real conda channels of packages of a few bytes, made in milliseconds."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import rattler.index
from backports import zstd

_MTIME = 1_700_000_000
PLACEHOLDER = "/placeholder_" * 18
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class TinyPackage:
    """What goes into a ``.conda``.

    :param files: content by path in the prefix; `PLACEHOLDER` in it becomes the prefix at installation
    :param links: symlink targets by path in the prefix
    """

    name: str
    version: str = "1.0"
    build: str = "0"
    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    subdir: str = "linux-64"
    noarch: str | None = None

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.conda"


def write_package(channel: Path, package: TinyPackage) -> Path:
    """Write one package into a channel's folder, without indexing."""
    subdir = "noarch" if package.noarch else package.subdir
    path = channel / subdir / package.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(f"pkg-{stem}.tar.zst", _tar(_payload(package)))
        archive.writestr(f"info-{stem}.tar.zst", _tar(_info(package, subdir)))
    return path


def write_channel(channel: Path, *packages: TinyPackage) -> str:
    """Write packages and index them; the channel's URL."""
    for subdir in ("noarch", "linux-64"):
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    for package in packages:
        write_package(channel, package)
    index(channel)
    return channel.as_uri()


def index(channel: Path) -> None:
    """Index (again) everything in a channel's folder."""
    asyncio.run(rattler.index.index_fs(channel, force=True))


def host_python(*, build: str = "0") -> TinyPackage:
    """A ``python`` that links to the interpreter running the tests, as the mirror makes it."""
    real = Path(sys.executable).resolve()
    home = Path(sys.base_prefix) / "bin"
    version = ".".join(map(str, sys.version_info[:3]))
    config = f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n"
    links = {
        f"bin/python{PYTHON}": str(real),
        "bin/python": f"python{PYTHON}",
        "bin/python3": f"python{PYTHON}",
    }
    return TinyPackage("python", version, build, files={"pyvenv.cfg": config}, links=links)


def module(
    name: str, version: str = "1.0", text: str = "", *, build: str = "0", depends: tuple[str, ...] = ()
) -> TinyPackage:
    """A noarch Python package of one module that knows its version."""
    body = text or f"VERSION = {version!r}\n"
    files = {f"site-packages/{name}.py": body}
    return TinyPackage(name, version, build, files=files, depends=("python", *depends), noarch="python")


def program(
    name: str, version: str = "1.0", *, build: str = "0", depends: tuple[str, ...] = ()
) -> TinyPackage:
    """A package with a shell script that prints its name, version and the prefix it thinks it is in."""
    script = f"#!/bin/sh\necho {name} {version} {PLACEHOLDER}\n"
    return TinyPackage(name, version, build, files={f"bin/{name}": script}, depends=depends)


def _payload(package: TinyPackage) -> list[tuple[tarfile.TarInfo, bytes]]:
    entries = [
        (_entry(name, len(text), executable=name.startswith("bin/")), text.encode())
        for name, text in package.files.items()
    ]
    for name, target in package.links.items():
        link = _entry(name, 0)
        link.type, link.linkname = tarfile.SYMTYPE, target
        entries.append((link, b""))
    return entries


def _info(package: TinyPackage, subdir: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    index_json = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": 0,
        "depends": list(package.depends),
        "constrains": list(package.constrains),
        "subdir": subdir,
        "timestamp": _MTIME * 1000,
        **({"noarch": package.noarch} if package.noarch else {"arch": "x86_64", "platform": "linux"}),
        **(
            {"python_site_packages_path": f"lib/python{PYTHON}/site-packages"}
            if package.name == "python"
            else {}
        ),
    }
    files = {
        "index.json": index_json,
        "about.json": {},
        "paths.json": {"paths": _paths(package), "paths_version": 1},
    }
    if package.noarch == "python":
        files["link.json"] = {"noarch": {"type": "python"}, "package_metadata_version": 1}
    encoded = {f"info/{name}": json.dumps(value).encode() for name, value in files.items()}
    return [(_entry(name, len(data)), data) for name, data in encoded.items()]


def _paths(package: TinyPackage) -> list[dict[str, object]]:
    paths: list[dict[str, object]] = []
    for name, text in package.files.items():
        data = text.encode()
        entry: dict[str, object] = {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_in_bytes": len(data),
        }
        if PLACEHOLDER in text:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
        paths.append(entry)
    paths += [{"_path": name, "path_type": "softlink", "size_in_bytes": 0} for name in package.links]
    return sorted(paths, key=lambda entry: str(entry["_path"]))


def _entry(name: str, size: int, *, executable: bool = False) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, _MTIME, 0o755 if executable else 0o644
    return entry


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            tar.addfile(entry, io.BytesIO(data))
    return zstd.compress(buffer.getvalue())
