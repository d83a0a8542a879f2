"""Look into a finished ``.conda`` file, and put a small file into it without building it again."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ai_runner_base.errors import CallerError

from .conda_writer import ZSTD_LEVEL, zstd

_GROUP = "ai_runner.pipeline"
_ENTRY_POINTS = re.compile(r"(?P<site>(?:.*/)?site-packages)/[^/]+\.dist-info/entry_points\.txt")
_COPY_BYTES = 1 << 20

Change = Callable[[str, bytes], bytes]
"""Gets name and content of a file and gives its new content."""


@dataclass(frozen=True, slots=True)
class PackagedPipeline:
    """A pipeline that a package brings.

    :param report_path: where in the package its conformance report lies or would lie
    :param report: the report, as JSON; None without one
    """

    name: str
    report_path: str
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class PackageFile:
    """What a package file says of itself.

    :param sha256: of the file, in hexadecimal
    """

    path: Path
    name: str
    version: str
    build: str
    subdir: str
    sha256: str
    pipelines: tuple[PackagedPipeline, ...]

    @property
    def file_name(self) -> str:
        """Path in a channel, e.g. ``noarch/click-8.1.0-pyh1234567_0.conda``."""
        return f"{self.subdir}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A package, and what is put beside it.

    :param beside: files by what follows the package's file name, such as ``.provenance.json``
    """

    package: PackageFile
    beside: Mapping[str, bytes]


def name_is_taken(name: str, where: object) -> CallerError:
    """Say that another file has this name already."""
    hint = "a published file stays as it is; raise build.number or the version in the recipe"
    return CallerError(f"{name} is there already, with other content: {where}", hint=hint)


def read_package(path: Path) -> PackageFile:
    """Read name, version and pipelines of a ``.conda`` file.

    :raises CallerError: it is none, or its name is not what it says inside
    """
    try:
        return _read(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zstd.ZstdError, tarfile.TarError) as error:
        hint = "give a .conda file, or the folder of a recipe"
        raise CallerError(f"{path} is no conda package: {error}", hint=hint) from error


def _read(path: Path) -> PackageFile:
    with zipfile.ZipFile(path) as archive:
        told = _files(archive, _part(archive, "info"), {"info/index.json", "info/paths.json"})
        index, paths = json.loads(told["info/index.json"]), json.loads(told["info/paths.json"])["paths"]
        names = [str(entry["_path"]) for entry in paths]
        pipelines = tuple(_pipelines(archive, names)) if any(map(_ENTRY_POINTS.fullmatch, names)) else ()
    if path.stem != (stem := "{name}-{version}-{build}".format_map(index)):
        raise ValueError(f"inside it is {stem}")
    return PackageFile(
        path,
        index["name"],
        index["version"],
        index["build"],
        index["subdir"],
        _sha256(path),
        pipelines,
    )


def _pipelines(archive: zipfile.ZipFile, names: list[str]) -> Iterator[PackagedPipeline]:
    lists = {name for name in names if _ENTRY_POINTS.fullmatch(name)}
    reports = {name for name in names if name.endswith(".check.json")}
    found = _files(archive, _part(archive, "pkg"), lists | reports)
    for name in sorted(lists):
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case, as importlib has them
        parser.read_string(found[name].decode())
        if not parser.has_section(_GROUP):
            continue
        for pipeline, entry_point in parser.items(_GROUP):
            path = _report_path(name, pipeline, entry_point, found)
            report = json.loads(found[path]) if path in found else None
            yield PackagedPipeline(pipeline, path, report)


def _report_path(entry_points: str, pipeline: str, entry_point: str, found: Mapping[str, bytes]) -> str:
    """Beside the module that the entry point names, where `catalog.report_file` looks for it."""
    match = _ENTRY_POINTS.fullmatch(entry_points)
    site = match["site"] if match else "site-packages"
    module = entry_point.partition(":")[0].strip().split(".")
    places = ["/".join((site, *parts, f"{pipeline}.check.json")) for parts in (module[:-1], module)]
    return next((place for place in places if place in found), places[0])


def with_files(path: Path, files: Mapping[str, bytes], target: Path) -> Path:
    """Write a copy of a package that has some more files, or others in place of those that it has.

    Everything else stays as it is, byte for byte: names, times, modes, and what is known about the package.

    :param files: content by path relative to the prefix
    :param target: the new file; appears when it is complete
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as new:
            for entry in old.infolist():
                _copy_entry(old, new, entry, files)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _copy_entry(
    old: zipfile.ZipFile, new: zipfile.ZipFile, entry: zipfile.ZipInfo, files: Mapping[str, bytes]
) -> None:
    if entry.filename.startswith("pkg-"):
        _copy_tar(old, new, entry, files, lambda name, data: data)
    elif entry.filename.startswith("info-"):
        _copy_tar(old, new, entry, {}, lambda name, data: _told(name, data, files))
    else:
        new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry))


def _copy_tar(
    old: zipfile.ZipFile,
    new: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    files: Mapping[str, bytes],
    change: Change,
) -> None:
    """Copy a tar.zst, with `files` behind what is in it."""
    with tempfile.TemporaryFile() as packed:
        mtime_s = 0
        with (
            zstd.ZstdFile(packed, "w", level=ZSTD_LEVEL) as stream,
            tarfile.open(fileobj=stream, mode="w|") as tar,
        ):
            with _tar(old, entry.filename) as source:
                for member in source:
                    mtime_s = max(mtime_s, int(member.mtime))
                    if member.name not in files:
                        _copy_member(source, tar, member, change)
            for name, data in sorted(files.items()):
                tar.addfile(_member(name, len(data), mtime_s), io.BytesIO(data))
        packed.seek(0)
        with new.open(zipfile.ZipInfo(entry.filename), "w", force_zip64=True) as out:
            shutil.copyfileobj(packed, out, _COPY_BYTES)


def _copy_member(
    source: tarfile.TarFile, target: tarfile.TarFile, member: tarfile.TarInfo, change: Change
) -> None:
    content = source.extractfile(member) if member.isreg() else None
    if content is not None and member.name.startswith("info/"):
        data = change(member.name, content.read())
        member.size, content = len(data), cast("IO[bytes]", io.BytesIO(data))
    target.addfile(member, content)


def _member(name: str, size: int, mtime_s: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, mtime_s, 0o644
    return member


def _told(name: str, data: bytes, files: Mapping[str, bytes]) -> bytes:
    """Have the package's own lists name the files."""
    if name == "info/files":
        listed = {line for line in data.decode().split("\n") if line}
        return "".join(f"{line}\n" for line in sorted(listed | set(files))).encode()
    if name != "info/paths.json":
        return data
    paths = json.loads(data)
    kept = [entry for entry in paths["paths"] if entry["_path"] not in files]
    paths["paths"] = sorted(
        [*kept, *map(_path_entry, files, files.values())], key=lambda entry: str(entry["_path"])
    )
    return json.dumps(paths, indent=2).encode()


def _path_entry(path: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    return {"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(data)}


def _part(archive: zipfile.ZipFile, kind: str) -> str:
    found = [name for name in archive.namelist() if name.startswith(f"{kind}-") and name.endswith(".tar.zst")]
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} parts {kind}-*.tar.zst, not one")
    return found[0]


@contextmanager
def _tar(archive: zipfile.ZipFile, part: str) -> Iterator[tarfile.TarFile]:
    with (
        archive.open(part) as packed,
        zstd.ZstdFile(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        yield tar


def _files(archive: zipfile.ZipFile, part: str, wanted: set[str]) -> dict[str, bytes]:
    """Read some files of a part."""
    found: dict[str, bytes] = {}
    with _tar(archive, part) as tar:
        for member in tar:
            if member.name in wanted and (content := tar.extractfile(member)) is not None:
                found[member.name] = content.read()
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
