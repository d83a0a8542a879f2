"""Where each file of a wheel goes in a conda package, and what is written anew on the way."""

from __future__ import annotations

import base64
import configparser
import csv
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import IO

from ai_runner_base.errors import HostError

from .conda_writer import PLACEHOLDER, CondaWriter
from .host_python import HostPython

# Written by an installer, so a wheel's own ones mean nothing. direct_url.json would name the packer's file.
_DROPPED = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")
_LICENSE = re.compile(r"\.dist-info/(?:licenses/(.+)|((?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*))$")
# `sh` starts the interpreter of the prefix, which takes the same lines for a string. A plain shebang breaks
# where the prefix is long (127 bytes) or holds a space: installers then take whatever `env python` finds.
_HEADER = f"#!/bin/sh\n'''exec' \"{PLACEHOLDER}/bin/python\" \"$0\" \"$@\"\n' '''\n".encode()


class WheelFiles:
    """Copies the files of one wheel into one package."""

    def __init__(self, archive: zipfile.ZipFile, writer: CondaWriter, python: HostPython, wheel: str) -> None:
        self._archive, self._writer, self._wheel = archive, writer, wheel
        self._noarch = writer.index.noarch == "python"
        self._minor = python.minor
        self._site = "site-packages" if self._noarch else python.site_packages
        names = archive.namelist()
        self._dist_info = next(
            n.split("/")[0] for n in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)
        )
        self._data = self._dist_info.removesuffix(".dist-info") + ".data/"
        self._record: list[tuple[str, str]] = []
        self._expected = self._recorded_hashes()

    def copy(self, advance: Callable[[int], None]) -> None:
        """Write all files, scripts, licences, RECORD and the links of a ``noarch`` package."""
        for entry in self._archive.infolist():
            if not entry.is_dir() and not self._is_dropped(entry.filename):
                self._copy_one(entry)
            advance(entry.compress_size)
        self._write_scripts(list(self._console_scripts()))
        self._site_file(f"{self._dist_info}/INSTALLER", b"conda\n")
        self._write_record()

    def _is_dropped(self, name: str) -> bool:
        stale_code = name.endswith((".pyc", ".pyo")) and "__pycache__/" in name
        return stale_code or name in {f"{self._dist_info}/{n}" for n in _DROPPED}

    def _copy_one(self, entry: zipfile.ZipInfo) -> None:
        name = self._checked(entry.filename)
        mode = 0o755 if (entry.external_attr >> 16) & 0o111 else 0o644
        if not name.startswith(self._data):
            self._copy_into_site(name, entry, mode)
            if license_file := _LICENSE.search(name):
                self._writer.info(f"licenses/{license_file[1] or license_file[2]}", self._archive.read(entry))
            return
        kind, _, rest = name[len(self._data) :].partition("/")
        if kind in ("purelib", "platlib"):
            self._copy_into_site(rest, entry, mode)
        elif kind == "scripts":
            self._copy_script(rest, entry)
        elif kind in ("data", "headers"):
            project = self._writer.index.name
            path = rest if kind == "data" else f"include/python{self._minor}/{project}/{rest}"
            with self._archive.open(entry) as source:
                self._put(path, source, entry.file_size, mode, original=name)
        else:
            raise HostError(f"{self._wheel} has files of an unknown kind: {name}")

    def _checked(self, name: str) -> str:
        if name.startswith(("/", "../")) or "\\" in name or posixpath.normpath(name) != name:
            raise HostError(f"{self._wheel} would write outside of its prefix: {name!r}")
        return name

    def _copy_into_site(self, relative: str, entry: zipfile.ZipInfo, mode: int) -> None:
        with self._archive.open(entry) as source:
            self._put(f"{self._site}/{relative}", source, entry.file_size, mode, original=entry.filename)

    def _put(self, path: str, source: IO[bytes], size: int, mode: int, original: str) -> None:
        if path in self._writer:
            raise HostError(f"{self._wheel} holds {path!r} twice")
        digest = self._writer.file(path, source, size=size, mode=mode)
        wanted = self._expected.get(original)
        if wanted and wanted != _record_hash(digest):
            raise HostError(
                f"{self._wheel} is damaged: {original} differs from what its RECORD says",
                hint="delete the wheel from pip's cache (pip cache purge) and try again",
            )
        self._record.append((self._in_record(path), f"{_record_hash(digest)},{size}"))

    def _in_record(self, path: str) -> str:
        """Paths in a RECORD are relative to site-packages."""
        if path.startswith(f"{self._site}/"):
            return path[len(self._site) + 1 :]
        installed = path.replace("python-scripts/", "bin/", 1) if self._noarch else path
        return f"../../../{installed}"

    def _site_file(self, relative: str, data: bytes) -> None:
        digest = self._writer.file(f"{self._site}/{relative}", data)
        self._record.append((relative, f"{_record_hash(digest)},{len(data)}"))

    def _copy_script(self, name: str, entry: zipfile.ZipInfo) -> None:
        data = self._archive.read(entry)
        shebang = re.match(rb"#!pythonw?[^\r\n]*\r?\n", data)
        if shebang:
            self._script(name, _HEADER + data[shebang.end() :])
            return
        with self._archive.open(entry) as source:
            self._put(f"{self._script_dir}/{name}", source, entry.file_size, 0o755, original=entry.filename)

    @property
    def _script_dir(self) -> str:
        return "python-scripts" if self._noarch else "bin"

    def _script(self, name: str, data: bytes) -> None:
        """Add a script with a placeholder; its hash is not recorded, because installing it changes it."""
        path = f"{self._script_dir}/{name}"
        self._writer.file(path, data, mode=0o755, text=True)
        self._record.append((self._in_record(path), ","))

    def _console_scripts(self) -> Iterator[tuple[str, str]]:
        """Give (command, ``module:attribute``) of the entry points that want a command."""
        path = f"{self._dist_info}/entry_points.txt"
        if path not in self._archive.namelist():
            return
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep capitals
        parser.read_string(self._archive.read(path).decode())
        for group in ("console_scripts", "gui_scripts"):
            for command, value in parser.items(group) if parser.has_section(group) else ():
                yield self._checked(command), re.sub(r"\s*\[.*", "", value).strip()

    def _write_scripts(self, scripts: list[tuple[str, str]]) -> None:
        """Name the commands to the installer (``noarch``), or write them."""
        if self._noarch:
            links = {
                "type": "python",
                "entry_points": [f"{command} = {target}" for command, target in scripts],
            }
            self._writer.info("link.json", {"noarch": links, "package_metadata_version": 1})
            return
        for command, target in scripts:
            if f"bin/{command}" not in self._writer:
                self._script(command, _HEADER + _entry_code(target))

    def _write_record(self) -> None:
        path = f"{self._dist_info}/RECORD"
        lines = [f"{_csv(name)},{rest}\n" for name, rest in self._record]
        self._writer.file(f"{self._site}/{path}", "".join([*lines, f"{path},,\n"]).encode())

    def _recorded_hashes(self) -> dict[str, str]:
        """Read the wheel's own RECORD: path to ``sha256=...``; other algorithms are left to pip."""
        try:
            lines = self._archive.read(f"{self._dist_info}/RECORD").decode().splitlines()
        except KeyError:
            raise HostError(f"{self._wheel} has no RECORD") from None
        return {row[0]: row[1] for row in csv.reader(lines) if len(row) > 1 and row[1].startswith("sha256=")}


def _entry_code(target: str) -> bytes:
    module, _, attribute = (part.strip() for part in target.partition(":"))
    first = attribute.split(".")[0]
    call = f"if __name__ == '__main__':\n    sys.exit({attribute}())\n"
    return f"import sys\n\nfrom {module} import {first}\n\n{call}".encode()


def _record_hash(hexadecimal: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(bytes.fromhex(hexadecimal)).rstrip(b"=").decode()


def _csv(name: str) -> str:
    return f'"{name}"' if "," in name else name
