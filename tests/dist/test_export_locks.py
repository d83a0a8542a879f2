"""`pixi run export-envs --lock`: exactly these packages, with hashes that hold."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from tests._support.tinychannel import module, program, write_channel

pytestmark = pytest.mark.dist

LINE = re.compile(r"(?P<url>file://\S+\.conda)#sha256:(?P<sha256>[0-9a-f]{64})")
MANIFEST = """
[workspace]
name = "w"
channels = ["nowhere"]
platforms = [{ name = "cuda", platform = "linux-64", cuda = "12.8" }, "linux-64"]
[dependencies]
tool = "*"
[feature.fast.target.cuda.dependencies]
tool = { version = "*", build = "cuda*" }
[feature.odd.dependencies]
unheard-of = "*"
[environments]
fast = ["fast"]
odd = ["odd"]
"""


@pytest.fixture
def others(tmp_path: Path) -> str:
    packages = [module("lib"), program("tool", depends=("lib",))]
    packages += [program("tool", build="cuda_0", depends=("lib", "__cuda >=12")), program("python", "3.11.0")]
    return write_channel(tmp_path / "others", *packages)


def export(folder: Path, *words: str, code: int = 0) -> str:
    """Run the program on the manifest; what it said."""
    (folder / "pixi.toml").write_text(MANIFEST)
    own = write_channel(folder / "own")
    command = [
        sys.executable,
        "-m",
        "ai_runner_base.cli.export_envs",
        "--manifest",
        str(folder / "pixi.toml"),
    ]
    command += ["--output", str(folder / "envs"), "--channel", own, "--lock", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def locked(path: Path) -> list[str]:
    """File names in a lock, each of which is on the disk as the lock says."""
    head, _, rest = path.read_text().partition("@EXPLICIT\n")
    assert all(line.startswith("#") for line in head.splitlines())
    found = [LINE.fullmatch(line) for line in rest.splitlines()]
    names = []
    for match in found:
        assert match is not None
        file = Path(urllib.parse.urlsplit(match["url"]).path)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == match["sha256"]
        names.append(file.name)
    return names


def test_what_can_be_locked_is_and_the_rest_is_told(tmp_path: Path, others: str) -> None:
    said = export(tmp_path, "--lock-channel", others)
    envs = tmp_path / "envs"
    plain = ["python-3.11.0-0.conda", "lib-1.0-0.conda", "tool-1.0-0.conda"]
    assert locked(envs / "default.linux-64.lock") == plain, "each behind what it needs"
    assert locked(envs / "fast-cuda.linux-64.lock")[-1] == "tool-1.0-cuda_0.conda"
    assert locked(envs / "fast.linux-64.lock")[-1] != "tool-1.0-cuda_0.conda"
    assert "odd: no lock" in said
    assert not (envs / "odd.linux-64.lock").exists()


def test_one_that_was_asked_for_must_be_had(tmp_path: Path, others: str) -> None:
    said = export(tmp_path, "--lock-channel", others, "-e", "odd", code=2)
    assert "No candidates were found for unheard-of" in said
    export(tmp_path, "--lock-channel", others, "-e", "fast")
    assert sorted(path.name for path in (tmp_path / "envs").glob("*.lock")) == [
        "fast-cuda.linux-64.lock",
        "fast.linux-64.lock",
    ]
