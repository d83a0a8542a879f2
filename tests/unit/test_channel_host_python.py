"""The interpreter of this machine as a package."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests._support.channel_wheels import Opened

from ai_runner_base.channel import HostPython, host_python
from ai_runner_base.errors import HostError

pytestmark = pytest.mark.unit


def test_asking_and_looking_agree() -> None:
    assert HostPython.inspect(Path(sys.executable)) == HostPython.current()


def test_a_virtual_environment_stands_for_the_interpreter_it_was_made_from() -> None:
    found = HostPython.current()
    assert found.executable == Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
    assert found.is_running
    assert found.minor == f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_the_tag_names_path_version_and_build() -> None:
    python = HostPython.current()
    others = [
        dataclasses.replace(python, executable=Path("/elsewhere/python3")),
        dataclasses.replace(python, version="3.11.99"),
        dataclasses.replace(python, build="another compiler"),
    ]
    assert len({python.tag, *(other.tag for other in others)}) == 4
    assert host_python.package_index(python).build == f"hostlink_{python.tag}_0"


def test_the_package_links_and_is_small(tmp_path: Path) -> None:
    python = HostPython.current()
    link, abi = host_python.write(python, tmp_path)
    found = Opened(link.path)
    assert found.members[f"bin/python{python.minor}"].linkname == str(python.executable)
    assert found.members["bin/python"].linkname == f"python{python.minor}"
    assert f"home = {python.executable.parent}\n" in found.data["pyvenv.cfg"].decode()
    assert found.info["index.json"]["python_site_packages_path"] == python.site_packages
    assert link.path.stat().st_size < 4096
    assert Opened(abi.path).info["index.json"]["constrains"] == [f"python {python.minor}.*"]


def test_a_prefix_with_it_is_an_environment_of_its_own(tmp_path: Path) -> None:
    """What installers do with the package: links and one small file."""
    python = HostPython.current()
    found = Opened(host_python.write(python, tmp_path / "channel")[0].path)
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    for path, member in found.members.items():
        if member.issym():
            (prefix / path).symlink_to(member.linkname)
    (prefix / "pyvenv.cfg").write_bytes(found.data["pyvenv.cfg"])
    code = "import sys, sysconfig, ssl; print(sys.prefix, sysconfig.get_path('purelib'))"
    command = [prefix / "bin" / "python", "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == [str(prefix), str(prefix / python.site_packages)]


def test_what_does_not_run_is_refused_by_name(tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    script.chmod(0o755)
    with pytest.raises(HostError, match="not a usable Python interpreter: no such library"):
        HostPython.inspect(script)


def test_an_old_interpreter_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "python3"
    script.write_text(
        '#!/bin/sh\necho \'{"executable": "/usr/bin/python3", "version": "3.7.17", "build": "", '
        '"platform": "linux-x86_64", "site_packages": "", "markers": {}}\'\n'
    )
    script.chmod(0o755)
    with pytest.raises(HostError, match=r"is Python 3\.7\.17; at least 3\.9 is needed"):
        HostPython.inspect(script)


@pytest.mark.parametrize(
    ("platform", "subdir"),
    [("linux-x86_64", "linux-64"), ("linux-aarch64", "linux-aarch64"), ("macosx-14.0-arm64", "osx-arm64")],
)
def test_platforms_in_condas_words(platform: str, subdir: str) -> None:
    assert host_python._subdir(platform) == subdir


def test_other_platforms_are_refused() -> None:
    with pytest.raises(HostError, match="cannot be made on win-amd64"):
        host_python._subdir("win-amd64")
