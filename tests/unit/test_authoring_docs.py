"""docs/authors.md: every command, task, file and snippet in it is one that exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from tests._support.manifests import CPU

from ai_runner_base.authoring import Answers, create
from ai_runner_base.cli import _COMMANDS
from ai_runner_base.cli.pixiw import cli as pixiw
from ai_runner_base.workspace import TaskGraph, read_manifest

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs" / "authors.md").read_text()


@pytest.fixture(scope="module", params=[False, True], ids=["cpu", "cuda"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "my-pipeline"
    create(folder, Answers("my-pipeline", ["conda-forge"], cuda=request.param))
    return folder


def spoken(program: str, text: str) -> list[list[str]]:
    """Command lines in blocks and in backticks, as words behind the program's name."""
    lines = re.findall(r"^\$ (.*)$", text, re.M) + re.findall(r"`([^`\n]+)`", text)
    return [line.split()[1:] for line in lines if line.startswith(f"{program} ")]


def test_every_command_line_of_ai_runner_is_understood() -> None:
    lines = [line for line in spoken("ai-runner", PAGE) if line]
    assert {line[0] for line in lines} >= {"new", "check", "install", "pipelines", "serve"}
    for name, *words in lines:
        command: click.Command = import_module(f"ai_runner_base.cli.{name}").command
        assert name in _COMMANDS
        with command.make_context(name, words):
            pass


def test_words_behind_the_task_publish_are_those_of_the_command() -> None:
    lines = [line for line in spoken("scripts/pixiw", PAGE) if line[:2] == ["run", "publish"]]
    command: click.Command = import_module("ai_runner_base.cli.publish").command
    assert lines
    for line in lines:
        with command.make_context("publish", line[2:]):
            pass


def test_every_option_of_new_is_on_the_page() -> None:
    section = PAGE.split("## A new repository")[1].split("## ")[0]
    command: click.Command = import_module("ai_runner_base.cli.new").command
    options = {option for p in command.params for option in p.opts if option.startswith("--")}
    assert options == set(re.findall(r"^\| `(--[\w-]+)`", section, re.M))


def test_every_task_of_the_page_runs_where_it_says(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    lines = spoken("scripts/pixiw", PAGE) + [
        line.split("#")[0].split()[1:] for line in readme.splitlines() if line.startswith("    scripts/pixiw")
    ]
    manifest = read_manifest(repository / "pixi.toml")
    graph = TaskGraph(manifest, CPU, None, repository)
    told = dict(re.findall(r"^\| `([\w-]+)` \| `(\w+)` \|", PAGE, re.M))
    for command, *words in lines:
        assert command in pixiw.commands
        task = next((word for word in words if not word.startswith("-")), None)
        if command == "run" and task:
            assert graph.jobs([task])[-1].environment == told[task]
    assert {word for line in lines for word in line} >= set(told)
    assert set(told) <= {name for feature in manifest.features.values() for name in feature.base.tasks}


def test_every_file_of_the_page_is_there(repository: Path) -> None:
    section = PAGE.split("## A new repository")[1].split("`pixi.toml` names the channel")[0]
    files = [name for name in re.findall(r"^\| `([\w./-]+)` \|", section, re.M) if not name.startswith("--")]
    assert len(files) >= 8
    assert [name for name in files if not (repository / name).is_file()] == []


def test_the_snippets_about_cuda_stand_in_the_repository(tmp_path: Path) -> None:
    create(tmp_path / "x", Answers("my-pipeline", ["conda-forge"], cuda=True))
    for block in re.findall(r"```yaml\n# ([\w.]+)[^\n]*\n(.*?)```", PAGE, re.S):
        name, text = block
        assert text in (tmp_path / "x" / name).read_text()


def test_the_test_of_the_page_is_a_test() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert code is not None
    compile(code[1], "authors.md", "exec")
    assert "pipeline_worker" in code[1]
