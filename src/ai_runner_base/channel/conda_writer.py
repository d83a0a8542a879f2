"""Write ``.conda`` archives: repeatable byte for byte, and without holding a file in memory.

A ``.conda`` file is a zip without compression that holds ``metadata.json``, ``pkg-STEM.tar.zst`` (the files)
and ``info-STEM.tar.zst`` (what is known about them). py-rattler-build's ``assemble_package`` writes such
files, too, but can record neither prefix placeholders nor the links of ``noarch: python`` packages.
Source: conda's package format 2 and CEP 34; ``info/paths.json`` version 1.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

PLACEHOLDER = "/opt/" + "placehold_" * 25
"""Stands for the prefix in files of mode ``text``, until an installer writes the real one (255 bytes)."""

ZSTD_LEVEL = 3
"""Level 9 takes three times as long for 13 % less (measured with torch, 700 MB)."""

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """What a solver sees of a package (``info/index.json``).

    :param timestamp_ms: Unix time in milliseconds
    :param noarch: ``python``, ``generic``, or None for a package of one platform
    :param site_packages: for a ``python`` package, where others put their modules
    """

    name: str
    version: str
    build: str
    subdir: str
    timestamp_ms: int
    build_number: int = 0
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    license: str | None = None
    noarch: str | None = None
    purls: tuple[str, ...] = ()
    site_packages: str | None = None

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def file_name(self) -> str:
        """Path in a channel, e.g. ``noarch/click-8.1.0-pyh1234567_0.conda``."""
        return f"{self.subdir}/{self.stem}.conda"

    def to_json(self) -> dict[str, Any]:
        """Give the content of ``info/index.json``."""
        platform, _, arch = self.subdir.partition("-")
        values = {
            "arch": None if self.noarch else {"64": "x86_64"}.get(arch, arch),
            "build": self.build,
            "build_number": self.build_number,
            "constrains": list(self.constrains),
            "depends": list(self.depends),
            "license": self.license,
            "name": self.name,
            "noarch": self.noarch,
            "platform": None if self.noarch else platform,
            "purls": list(self.purls),
            "python_site_packages_path": self.site_packages,
            "subdir": self.subdir,
            "timestamp": self.timestamp_ms,
            "version": self.version,
        }
        return {key: value for key, value in values.items() if key == "depends" or value not in (None, [])}


@dataclass(frozen=True, slots=True)
class Package:
    """A finished package file.

    :param path: ``.../SUBDIR/STEM.conda``
    :param record: its entry in a channel's index; None has an indexer read the file
    """

    path: Path
    record: Mapping[str, Any] | None = None

    @property
    def file_name(self) -> str:
        """Path in a channel."""
        return f"{self.path.parent.name}/{self.path.name}"


class _HashingReader(io.RawIOBase):
    """Passes bytes on and remembers their SHA-256."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.sha256.update(data)
        return data


class _Part:
    """One tar.zst, written as a stream."""

    def __init__(self, target: IO[bytes], mtime_s: int, workers: int) -> None:
        self._mtime_s = mtime_s
        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: ZSTD_LEVEL,
            zstd.CompressionParameter.nb_workers: workers,
        }
        self._zstd = zstd.ZstdFile(target, "w", options=options)
        self._tar = tarfile.TarFile(fileobj=self._zstd, mode="w", copybufsize=_COPY_BYTES)

    def add(self, name: str, source: IO[bytes], size: int, mode: int) -> str:
        reader = _HashingReader(source)
        info = self._info(name, mode)
        info.size = size
        self._tar.addfile(info, reader)
        return reader.sha256.hexdigest()

    def add_link(self, name: str, target: str) -> None:
        info = self._info(name, 0o777)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def _info(self, name: str, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = mode, self._mtime_s
        return info

    def close(self) -> None:
        self._tar.close()
        self._zstd.close()


class CondaWriter:
    """A package being written; it appears under its name when `close` has returned, or not at all.

    :param channel_dir: where ``index.file_name`` is put
    :param mtime_s: modification time of every file. Python takes a ``.pyc`` for fresh when time and size of
        its source are equal, so packages with other content should get another one
    :param workers: threads of the compressor; 0 and 1 give different bytes, 1 and more the same
    """

    def __init__(self, channel_dir: Path, index: PackageIndex, *, mtime_s: int, workers: int = 0) -> None:
        self.index = index
        self.path = channel_dir / index.file_name
        self._paths: dict[str, dict[str, Any]] = {}
        self._infos: dict[str, bytes] = {}
        self._mtime_s = mtime_s
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._packed = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115 (closed by __exit__)
        self._files = _Part(self._packed, mtime_s, workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._packed.close()

    def __contains__(self, path: str) -> bool:
        """Say whether the package has a file of that path already."""
        return path in self._paths

    def file(
        self,
        path: str,
        source: IO[bytes] | bytes,
        *,
        size: int | None = None,
        mode: int = 0o644,
        text: bool = False,
    ) -> str:
        """Add a file.

        :param path: relative to the prefix (``site-packages/...`` in a ``noarch: python`` package)
        :param source: content, as bytes or as a stream of `size` bytes
        :param text: the content holds `PLACEHOLDER`, to be replaced at installation
        :returns: SHA-256 of the content, in hexadecimal
        :raises ValueError: the package has that path already
        """
        if isinstance(source, bytes):
            size, source = len(source), io.BytesIO(source)
        if size is None:
            raise ValueError("a stream needs its size")
        entry: dict[str, Any] = {"_path": path, "path_type": "hardlink", "size_in_bytes": size}
        self._remember(path, entry)
        entry["sha256"] = self._files.add(path, source, size, mode)
        if text:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
        return str(entry["sha256"])

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link; `target` is stored as it is."""
        empty = hashlib.sha256().hexdigest()
        self._remember(path, {"_path": path, "path_type": "softlink", "sha256": empty, "size_in_bytes": 0})
        self._files.add_link(path, target)

    def _remember(self, path: str, entry: dict[str, Any]) -> None:
        if path in self._paths:
            raise ValueError(f"{self.index.stem} has two files {path!r}")
        self._paths[path] = entry

    def info(self, name: str, data: bytes | Mapping[str, Any]) -> None:
        """Add a file below ``info/``; a mapping is written as JSON."""
        self._infos[name] = (
            data if isinstance(data, bytes) else json.dumps(data, indent=1, sort_keys=True).encode()
        )

    def close(self, about: Mapping[str, Any]) -> Package:
        """Finish the archive, flush it to the disk and give it its name.

        :param about: content of ``info/about.json``; empty values are left out
        """
        paths = [self._paths[path] for path in sorted(self._paths)]
        infos: dict[str, bytes | Mapping[str, Any]] = {
            "index.json": self.index.to_json(),
            "about.json": {key: value for key, value in about.items() if value},
            "paths.json": {"paths": paths, "paths_version": 1},
            "files": "".join(f"{entry['_path']}\n" for entry in paths).encode(),
        }
        given, self._infos = self._infos, {}
        for name, data in (infos | given).items():
            self.info(name, data)
        self._files.close()
        temporary = self.path.parent / f".{self.index.stem}.{os.getpid()}.part"
        try:
            self._assemble(temporary)
            record = {**self.index.to_json(), **_digests(temporary)}
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        return Package(self.path, record)

    def _assemble(self, target: Path) -> None:
        """Write the zip; ``info`` stands before the files, so that an indexer need not unpack those."""
        stem = self.index.stem
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("metadata.json"), '{"conda_pkg_format_version": 2}')
            archive.writestr(zipfile.ZipInfo(f"info-{stem}.tar.zst"), self._packed_info())
            self._packed.seek(0)
            with archive.open(zipfile.ZipInfo(f"pkg-{stem}.tar.zst"), "w", force_zip64=True) as entry:
                shutil.copyfileobj(self._packed, entry, _COPY_BYTES)
        _sync(target)

    def _packed_info(self) -> bytes:
        buffer = io.BytesIO()
        part = _Part(buffer, self._mtime_s, 0)
        for name, data in self._infos.items():
            part.add(f"info/{name}", io.BytesIO(data), len(data), 0o644)
        part.close()
        return buffer.getvalue()


def _digests(path: Path) -> dict[str, Any]:
    """Give what an index says of a file as a whole."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return {"md5": md5, "sha256": sha256, "size": path.stat().st_size}


def _sync(path: Path) -> None:
    """Put a file's content on the disk, so that its new name never shows an empty file after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
