"""From `ai-runner new` to a pipeline that is installed: the real commands, in a real repository of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from ai_runner_base.channel import HostPython, build, load, mirror, requirements_of

pytestmark = [pytest.mark.dist, pytest.mark.timeout(400)]

BASE = Path(__file__).parents[2] / "recipes" / "ai-runner-base"
WRAPPER = Path(__file__).parents[2] / "scripts" / "pixiw"
LIMIT_S = 240


@dataclass(frozen=True)
class Author:
    """Somebody with a folder for work and a channel that has ai-runner-base.

    :param home: of pixiw, whose mirror has been filled with what the channel's packages need
    """

    folder: Path
    home: Path
    channel: Path

    @property
    def repository(self) -> Path:
        return self.folder / "soft-focus"

    def do(self, *words: str | Path, cwd: Path | None = None, code: int = 0) -> str:
        """Run a command line; what it said."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PIXI", "CONDA"))}
        env |= {
            "PIXIW_HOME": str(self.home),
            "PIXIW": "embedded",
            "PIXIW_PYTHON": os.path.realpath(sys.executable),
        }
        env |= {"CONDA_OVERRIDE_CUDA": "", "TERM": "dumb", "COLUMNS": "200"}
        done = subprocess.run(
            [*map(str, words)],
            cwd=cwd or self.repository,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pixiw(self, *words: str, code: int = 0) -> str:
        return self.do("scripts/pixiw", *words, code=code)


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    root = tmp_path_factory.mktemp("author")
    known = Path(os.environ.get("CONDA_PREFIX", "/nowhere")).parent.parent / "channel/mirror"
    if known.is_dir():  # in an environment of pixiw most of it has been fetched already
        shutil.copytree(known, root / "home/channel/mirror")
    rest = mirror(requirements_of([load(BASE)]), root / "home/channel/mirror", HostPython.current())
    build([BASE], root / "channel", [rest.url])
    found = Author(root, root / "home", root / "channel")
    runner = [sys.executable, "-I", "-m", "ai_runner_base"]
    assert "scripts/pixiw run test" in found.do(*runner, "new", "soft-focus", "-c", found.channel, cwd=root)
    return found


def test_its_tests_are_green_at_once_and_red_when_the_pipeline_breaks(author: Author) -> None:
    said = author.pixiw("run", "test")
    assert "built soft-focus 0.1.0" in said
    assert "5 passed" in said
    pipeline = author.repository / "src/soft_focus/pipeline.py"
    text = pipeline.read_text()
    pipeline.write_text(text.replace("table[frame.array]", "frame.array"))
    said = author.pixiw("run", "--as-is", "test", code=1)
    assert "test_a_real_worker_takes_frames_and_parameters" in said
    pipeline.write_text(text)


def test_it_is_a_good_citizen_is_built_and_can_be_installed(author: Author) -> None:
    assert " passed" in author.pixiw("run", "-e", "test", "check", "--quick", "--only", "sizes")
    said = author.pixiw("run", "build-packages")  # which runs `ai-runner check` on what it has built
    output = author.repository / "output/channel"
    assert f"1 packages built; channel: {output.as_uri()}" in said

    runner, target = author.home / "envs/build/bin/ai-runner", author.folder / "installed"
    channels = [
        word for name in (output, author.channel, author.home / "channel/mirror") for word in ("-c", name)
    ]
    author.do(runner, "install", "soft-focus", *channels, "--override-channels", "--prefix", target)
    author.do(target / "bin/ai-runner", "new", "second", "--into", author.folder / "second")
    assert (author.folder / "second/scripts/pixiw").read_bytes() == WRAPPER.read_bytes()
    channels = tomllib.loads((author.folder / "second/pixi.toml").read_text())["workspace"]["channels"]
    assert channels == [author.channel.as_uri(), "conda-forge"]

    listed = author.do(target / "bin/ai-runner", "pipelines", "--json")
    found = {item["name"]: item for item in json.loads(listed)["pipelines"]}
    assert found["soft-focus"]["channel"].rstrip("/") == output.as_uri()
    assert found["soft-focus"]["params_schema"]["properties"]["strength"]["maximum"] == 1


def test_a_channel_that_is_gone_is_named(author: Author) -> None:
    manifest = author.repository / "pixi.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace(author.channel.as_uri(), "file:///nowhere/channel"))
    said = author.pixiw("run", "check", code=2)
    assert "channel file:///nowhere/channel, which pixi.toml names, is not there" in said
    manifest.write_text(text)
