"""Small wheels and a look into packages, for the tests of `channel`."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ai_runner_base.channel.conda_writer import zstd

WHEN = (2024, 5, 6, 7, 8, 10)


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    headers: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    scripts: Mapping[str, str] | None = None,
    wrong_hash_of: str | None = None,
) -> Path:
    """Write a wheel with one module and what the arguments add.

    :param files: path in the wheel to content; ``{data}`` and ``{info}`` stand for the two folders
    :param scripts: command to ``module:attribute``
    :param wrong_hash_of: a path whose entry in RECORD is made wrong
    """
    module = name.replace("-", "_").replace(".", "_")
    stem = f"{module}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers]
    metadata += [f"Requires-Dist: {r}" for r in requires]
    content = {
        f"{module}/__init__.py": f"VERSION = {version!r}\n\n\ndef main():\n    print('{name}', VERSION)\n".encode(),
        f"{stem}.dist-info/METADATA": "\n".join([*metadata, "", ""]).encode(),
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\n".encode(),
    }
    if scripts:
        lines = "".join(f"{command} = {target}\n" for command, target in scripts.items())
        content[f"{stem}.dist-info/entry_points.txt"] = f"[console_scripts]\n{lines}".encode()
    for path, data in (files or {}).items():
        content[path.format(data=f"{stem}.data", info=f"{stem}.dist-info")] = data
    record = f"{stem}.dist-info/RECORD"
    lines = "".join(
        _record_line(path, b"other" if path == wrong_hash_of else data) for path, data in content.items()
    )
    content[record] = f"{lines}{record},,\n".encode()
    target = folder / f"{stem}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, WHEN), data)
    return target


def _record_line(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


class Opened:
    """The content of a ``.conda`` file.

    :ivar members: tar members of the files, by path
    :ivar data: content of the files, by path
    :ivar info: content below ``info/``, by path; JSON is parsed
    :ivar order: names in the zip
    """

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.order = archive.namelist()
            self.format = json.loads(archive.read("metadata.json"))
            packed = {
                name.split("-")[0]: archive.read(name) for name in self.order if name.endswith(".tar.zst")
            }
        self.members, self.data = _untar(packed["pkg"])
        _, info = _untar(packed["info"])
        self.info: dict[str, Any] = {
            name.removeprefix("info/"): json.loads(data) if name.endswith(".json") else data
            for name, data in info.items()
        }

    @property
    def paths(self) -> dict[str, dict[str, Any]]:
        """Entries of paths.json by path."""
        return {entry["_path"]: entry for entry in self.info["paths.json"]["paths"]}


def _untar(packed: bytes) -> tuple[dict[str, tarfile.TarInfo], dict[str, bytes]]:
    members, data = {}, {}
    with tarfile.open(fileobj=io.BytesIO(zstd.decompress(packed))) as tar:
        for member in tar:
            members[member.name] = member
            file = tar.extractfile(member) if member.isfile() else None
            data[member.name] = file.read() if file else b""
    return members, data
