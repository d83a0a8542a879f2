"""Archives: complete, repeatable, small in memory, and there only when they are finished."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import IO

import pytest
from rattler.package import IndexJson, PathsJson
from tests._support.channel_wheels import Opened

from ai_runner_base.channel.conda_writer import PLACEHOLDER, CondaWriter, Package, PackageIndex

pytestmark = pytest.mark.unit

INDEX = PackageIndex(
    name="sample",
    version="1.2",
    build="h1234567_3",
    build_number=3,
    subdir="linux-64",
    timestamp_ms=1_700_000_000_000,
    depends=("python 3.11.*", "numpy >=1.26"),
    license="MIT",
    purls=("pkg:pypi/sample@1.2",),
)


def write(folder: Path, index: PackageIndex = INDEX, workers: int = 0) -> Package:
    with CondaWriter(folder, index, mtime_s=1_600_000_000, workers=workers) as writer:
        writer.file("lib/data.bin", bytes(range(256)) * 10)
        writer.file("bin/tool", f"#!/bin/sh\nexec {PLACEHOLDER}/bin/x\n".encode(), mode=0o755, text=True)
        writer.symlink("bin/alias", "tool")
        writer.info("licenses/LICENSE", b"do what you like\n")
        return writer.close({"summary": "a sample", "home": None, "extra": {"kind": "test"}})


def test_it_stands_in_its_subdir_with_all_parts(tmp_path: Path) -> None:
    package = write(tmp_path)
    assert package.path == tmp_path / "linux-64" / "sample-1.2-h1234567_3.conda"
    assert package.file_name == INDEX.file_name
    opened = Opened(package.path)
    assert opened.format == {"conda_pkg_format_version": 2}
    assert opened.info["licenses/LICENSE"] == b"do what you like\n"
    assert opened.info["files"].decode().split() == ["bin/alias", "bin/tool", "lib/data.bin"]
    assert opened.info["about.json"] == {"summary": "a sample", "extra": {"kind": "test"}}


def test_info_stands_before_the_files_so_that_indexers_need_not_unpack_them(tmp_path: Path) -> None:
    stem = INDEX.stem
    assert Opened(write(tmp_path).path).order == [
        "metadata.json",
        f"info-{stem}.tar.zst",
        f"pkg-{stem}.tar.zst",
    ]


def test_paths_tell_hash_size_and_placeholder(tmp_path: Path) -> None:
    opened = Opened(write(tmp_path).path)
    data = opened.paths["lib/data.bin"]
    assert data["sha256"] == hashlib.sha256(bytes(range(256)) * 10).hexdigest()
    assert (data["size_in_bytes"], data["path_type"]) == (2560, "hardlink")
    assert opened.paths["bin/tool"]["prefix_placeholder"] == PLACEHOLDER
    assert opened.paths["bin/tool"]["file_mode"] == "text"
    assert opened.paths["bin/alias"]["path_type"] == "softlink"
    assert opened.members["bin/alias"].linkname == "tool"
    assert opened.members["bin/tool"].mode == 0o755
    assert {member.mtime for member in opened.members.values()} == {1_600_000_000}
    assert {member.uid for member in opened.members.values()} == {0}


def test_rattler_reads_what_was_written(tmp_path: Path) -> None:
    path = write(tmp_path).path
    index = IndexJson.from_package_archive(path)
    assert (index.name.normalized, str(index.version), str(index.build)) == ("sample", "1.2", "h1234567_3")
    assert index.depends == ["python 3.11.*", "numpy >=1.26"]
    assert index.timestamp is not None
    assert len(PathsJson.from_package_archive(path).paths) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, workers: int) -> None:
    first = write(tmp_path / "a", workers=workers)
    second = write(tmp_path / "b", workers=workers)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_the_record_tells_hashes_of_the_file(tmp_path: Path) -> None:
    package = write(tmp_path)
    content = package.path.read_bytes()
    assert package.record is not None
    assert package.record["sha256"] == hashlib.sha256(content).hexdigest()
    assert package.record["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert package.record["size"] == len(content)
    assert package.record["depends"] == ["python 3.11.*", "numpy >=1.26"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with CondaWriter(tmp_path, INDEX, mtime_s=0) as writer:
            writer.file("a", b"x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_path_can_stand_once(tmp_path: Path) -> None:
    with CondaWriter(tmp_path, INDEX, mtime_s=0) as writer:
        writer.file("a", b"x")
        with pytest.raises(ValueError, match="two files 'a'"):
            writer.symlink("a", "b")


class Zeros:
    """A stream of zeros that never exists as a whole."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left) if size >= 0 else self._left
        self._left -= size
        return bytes(size)


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    size = 256 << 20
    stream: IO[bytes] = Zeros(size)  # type: ignore[assignment]  # the writer only reads
    tracemalloc.start()
    with CondaWriter(tmp_path, INDEX, mtime_s=0) as writer:
        writer.file("big", stream, size=size)
        writer.close({})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
