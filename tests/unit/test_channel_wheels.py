"""Wheels become packages that install anywhere and are never two under one name."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.tags import parse_tag
from tests._support.channel_wheels import Opened, make_wheel

from ai_runner_base.channel import HostPython, wheels
from ai_runner_base.channel.conda_writer import PLACEHOLDER, Package
from ai_runner_base.channel.wheels import Wheel, platform_floor
from ai_runner_base.errors import HostError

pytestmark = pytest.mark.unit

PYTHON = HostPython.current()
TAG = f"cp{PYTHON.minor.replace('.', '')}"
BINARY = f"{TAG}-{TAG}-manylinux_2_28_x86_64.manylinux_2_17_x86_64.manylinux2014_x86_64"


def package(folder: Path, name: str = "sample", **options: Any) -> Package:
    wheel = Wheel.read(make_wheel(folder / "wheels", name, **options))
    return wheels.convert(wheels.plan(wheel, {wheel.name: wheel}, PYTHON), folder / "channel", lambda _: None)


def opened(folder: Path, name: str = "sample", **options: Any) -> Opened:
    return Opened(package(folder, name, **options).path)


def test_a_pure_wheel_is_noarch_and_leaves_its_commands_to_the_installer(tmp_path: Path) -> None:
    found = opened(tmp_path, scripts={"sample": "sample:main", "tool": "sample.cli:app.run [extra]"})
    index = found.info["index.json"]
    assert (index["noarch"], index["subdir"]) == ("python", "noarch")
    assert "site-packages/sample/__init__.py" in found.data
    assert found.info["link.json"] == {
        "noarch": {"type": "python", "entry_points": ["sample = sample:main", "tool = sample.cli:app.run"]},
        "package_metadata_version": 1,
    }


def test_a_binary_wheel_is_bound_to_the_interpreter_and_the_oldest_glibc_it_takes(tmp_path: Path) -> None:
    found = opened(tmp_path, tag=BINARY, requires=["torch>=2"])
    index = found.info["index.json"]
    assert index["subdir"] == PYTHON.subdir
    assert index["depends"] == [f"python {PYTHON.minor}.*", "pytorch >=2", "__glibc >=2.17"]
    assert f"{PYTHON.site_packages}/sample/__init__.py" in found.data
    assert "link.json" not in found.info


@pytest.mark.parametrize("tag", [f"{TAG}-abi3-manylinux_2_28_x86_64", "py3-none-manylinux_2_28_x86_64"])
def test_wheels_for_several_pythons_are_bound_too_since_their_files_are(tmp_path: Path, tag: str) -> None:
    index = opened(tmp_path, tag=tag).info["index.json"]
    assert index["depends"] == [f"python {PYTHON.minor}.*", "__glibc >=2.28"]
    assert "noarch" not in index


def test_requires_python_is_translated(tmp_path: Path) -> None:
    index = opened(tmp_path, headers=["Requires-Python: >=3.9,<4"]).info["index.json"]
    assert index["depends"] == ["python >=3.9,<4dev0"]


def test_a_python_requirement_that_cannot_be_read_binds_nothing(tmp_path: Path) -> None:
    assert opened(tmp_path, headers=["Requires-Python: >=3.6.*"]).info["index.json"]["depends"] == ["python"]


def test_a_pure_wheel_whose_requirements_depend_on_python_is_bound_to_it(tmp_path: Path) -> None:
    requires = ['typing-extensions; python_version < "3.20"']
    assert opened(tmp_path, requires=requires).info["index.json"]["depends"][0] == f"python {PYTHON.minor}.*"


def test_the_commands_of_a_binary_wheel_follow_the_prefix(tmp_path: Path) -> None:
    found = opened(tmp_path, tag=BINARY, scripts={"sample": "sample:main"})
    assert found.paths["bin/sample"]["file_mode"] == "text"
    assert found.members["bin/sample"].mode == 0o755
    prefix = tmp_path / "a prefix with spaces and more than 127 letters" / ("x" * 100)
    script = _install_script(found, prefix, "sample")
    done = subprocess.run([script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "sample 1.0\n"


def test_scripts_of_wheels_get_the_interpreter_of_the_prefix(tmp_path: Path) -> None:
    files = {
        "{data}/scripts/run": b"#!python -u\nimport sys\nprint(sys.argv[1:])\n",
        "{data}/scripts/native": b"\x7fELF",
    }
    found = opened(tmp_path, tag=BINARY, files=files)
    script = _install_script(found, tmp_path / "prefix", "run")
    done = subprocess.run([script, "a b"], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "['a b']\n"
    assert found.data["bin/native"] == b"\x7fELF"
    assert found.members["bin/native"].mode == 0o755


def _install_script(found: Opened, prefix: Path, name: str) -> Path:
    """Do what an installer does with a file of mode ``text``."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").symlink_to(PYTHON.executable)
    (prefix / "pyvenv.cfg").write_text(f"home = {PYTHON.executable.parent}\n")
    module = prefix / PYTHON.site_packages / "sample"
    module.mkdir(parents=True)
    (module / "__init__.py").write_bytes(found.data[f"{PYTHON.site_packages}/sample/__init__.py"])
    script = prefix / "bin" / name
    script.write_bytes(found.data[f"bin/{name}"].replace(PLACEHOLDER.encode(), os.fsencode(prefix)))
    script.chmod(0o755)
    return script


def test_data_schemes_go_where_they_belong(tmp_path: Path) -> None:
    files = {
        "{data}/data/share/sample/x.txt": b"x",
        "{data}/headers/sample.h": b"h",
        "{data}/purelib/other.py": b"o",
        "{data}/platlib/sample/core.so": b"c",
    }
    found = opened(tmp_path, tag=BINARY, files=files)
    assert found.data["share/sample/x.txt"] == b"x"
    assert found.data[f"include/python{PYTHON.minor}/sample/sample.h"] == b"h"
    assert found.data[f"{PYTHON.site_packages}/other.py"] == b"o"
    assert found.data[f"{PYTHON.site_packages}/sample/core.so"] == b"c"


def test_scripts_of_a_pure_wheel_are_installed_from_python_scripts(tmp_path: Path) -> None:
    found = opened(tmp_path, files={"{data}/scripts/run": b"#!python\nprint(1)\n"})
    assert found.data["python-scripts/run"].startswith(b"#!/bin/sh\n")
    assert "../../../bin/run,," in found.data["site-packages/sample-1.0.dist-info/RECORD"].decode()


def test_what_an_installer_writes_is_written_anew(tmp_path: Path) -> None:
    files = {
        "{info}/INSTALLER": b"pip\n",
        "{info}/REQUESTED": b"",
        "{info}/direct_url.json": b"{}",
        "sample/__pycache__/__init__.cpython-311.pyc": b"old",
    }
    found = opened(tmp_path, files=files)
    info = "site-packages/sample-1.0.dist-info"
    assert found.data[f"{info}/INSTALLER"] == b"conda\n"
    assert not {f"{info}/REQUESTED", f"{info}/direct_url.json"} & set(found.data)
    assert not any("__pycache__" in path for path in found.data)


def test_record_names_every_file_with_its_hash(tmp_path: Path) -> None:
    found = opened(tmp_path, files={"sample/a,b.txt": b"x", "{data}/data/share/y": b"y"})
    rows = list(csv.reader(io.StringIO(found.data["site-packages/sample-1.0.dist-info/RECORD"].decode())))
    listed = {row[0] for row in rows}
    assert {f"site-packages/{name}" for name in listed if not name.startswith("../")} | {"share/y"} == set(
        found.data
    )
    assert "../../../share/y" in listed
    assert all(row[1].startswith("sha256=") for row in rows if not row[0].endswith("RECORD"))


def test_licences_and_metadata_are_kept(tmp_path: Path) -> None:
    headers = [
        "Summary: Ein Beispiel für 例",
        "License-Expression: MIT",
        "Project-URL: Homepage, https://example.invalid/",
    ]
    files = {"{info}/licenses/vendored/LICENSE": b"MIT", "{info}/COPYING.txt": b"GPL"}
    built = package(tmp_path, headers=headers, files=files)
    found = Opened(built.path)
    assert found.info["licenses/vendored/LICENSE"] == b"MIT"
    assert found.info["licenses/COPYING.txt"] == b"GPL"
    about = found.info["about.json"]
    assert (about["summary"], about["license"], about["home"]) == (
        "Ein Beispiel für 例",
        "MIT",
        "https://example.invalid/",
    )
    wheel = next((tmp_path / "wheels").glob("*.whl"))
    assert about["extra"]["wheel_sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert found.info["index.json"]["purls"] == ["pkg:pypi/sample@1.0"]


def test_a_licence_in_a_classifier_is_found(tmp_path: Path) -> None:
    headers = ["License: " + "long text " * 20, "Classifier: License :: OSI Approved :: MIT License"]
    assert opened(tmp_path, headers=headers).info["index.json"]["license"] == "MIT License"


def test_the_time_is_that_of_the_newest_file(tmp_path: Path) -> None:
    assert opened(tmp_path).info["index.json"]["timestamp"] == 1_714_979_290_000


def test_the_local_part_of_a_version_goes_into_the_build_string(tmp_path: Path) -> None:
    built = package(tmp_path, "torch", version="2.13.0+cu128", tag=BINARY)
    index = Opened(built.path).info["index.json"]
    assert index["version"] == "2.13.0"
    assert index["build"].startswith(f"cuda128_py{PYTHON.minor.replace('.', '')}h")
    assert index["name"] == "pytorch"


@pytest.mark.parametrize(
    ("requires", "flavour"), [(["nvidia-cuda-runtime-cu12"], "cuda_"), (["sympy"], "cpu_")]
)
def test_torch_without_a_local_part_tells_by_its_requirements(
    tmp_path: Path, requires: list[str], flavour: str
) -> None:
    assert package(tmp_path, "torch", requires=requires, tag=BINARY).path.name.startswith(
        f"pytorch-1.0-{flavour}"
    )


def test_the_same_wheel_gives_the_same_bytes(tmp_path: Path) -> None:
    options: dict[str, Any] = {"tag": BINARY, "scripts": {"sample": "sample:main"}}
    first, second = (package(tmp_path / folder, **options) for folder in "ab")
    assert first.path.name == second.path.name
    assert first.path.read_bytes() == second.path.read_bytes()


def test_another_content_or_another_translation_gives_another_name(tmp_path: Path) -> None:
    names = {
        package(tmp_path / "a").path.name,
        package(tmp_path / "b", files={"more.py": b""}).path.name,
        package(tmp_path / "c", requires=["numpy"]).path.name,
    }
    wheel = Wheel.read(make_wheel(tmp_path / "d", "sample"))
    other = dataclasses.replace(PYTHON, site_packages="lib/python3.99t/site-packages")
    names.add(wheels.plan(wheel, {}, other).index.stem + ".conda")
    assert len(names) == 4


def test_files_of_other_content_get_another_time_so_that_stale_bytecode_is_noticed(tmp_path: Path) -> None:
    times = set()
    for content in (b"A = 1\n", b"A = 2\n"):
        found = opened(tmp_path / str(content), files={"sample/a.py": content})
        times.add(found.members["site-packages/sample/a.py"].mtime)
    assert len(times) == 2


def test_a_damaged_file_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"is damaged: sample/core\.py differs") as caught:
        package(tmp_path, files={"sample/core.py": b"x"}, wrong_hash_of="sample/core.py")
    assert "pip cache purge" in caught.value.hint
    assert list(tmp_path.rglob("*.conda")) == []


@pytest.mark.parametrize("path", ["../evil.py", "/etc/evil", "sample/../../evil", "a\\b"])
def test_a_wheel_cannot_write_outside_of_the_prefix(tmp_path: Path, path: str) -> None:
    with pytest.raises(HostError, match="outside of its prefix"):
        package(tmp_path, files={path: b"x"})


def test_unknown_data_and_doubled_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="unknown kind"):
        package(tmp_path / "a", files={"{data}/spells/x": b""})
    with pytest.raises(HostError, match="twice"):
        package(tmp_path / "b", files={"{data}/purelib/sample/__init__.py": b""})


def test_what_is_no_wheel_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"not a zip")
    with pytest.raises(HostError, match=r"broken-1\.0-py3-none-any\.whl is not a usable wheel"):
        Wheel.read(broken)


@pytest.mark.parametrize(
    ("tag", "floor"),
    [
        ("py3-none-any", ()),
        ("cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64", ("__glibc >=2.5",)),
        ("cp311-cp311-manylinux_2_28_x86_64", ("__glibc >=2.28",)),
        ("cp311-cp311-manylinux2014_aarch64", ("__glibc >=2.17",)),
        ("cp311-cp311-linux_x86_64", ()),
        ("cp311-cp311-macosx_11_0_arm64", ("__osx >=11.0",)),
    ],
)
def test_platform_tags_become_virtual_packages(tag: str, floor: tuple[str, ...]) -> None:
    assert platform_floor(frozenset(parse_tag(tag))) == floor
