"""docs/pixiw.md says what pixiw does: commands, options, environment variables, refusals."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ai_runner_base.cli.pixiw import cli
from ai_runner_base.workspace import _reader, _tasks_reader

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "pixiw.md").read_text()
READ_IN = [
    REPOSITORY / "scripts" / "pixiw",
    *(REPOSITORY / "src/ai_runner_base/cli").glob("*pixiw*.py"),
    *(REPOSITORY / "src/ai_runner_base/workspace").glob("*.py"),
]
INTERNAL = {"PIXIW_ROOT", "PIXIW_DUMP"}


def test_every_command_is_documented_and_nothing_else() -> None:
    assert isinstance(cli, click.Group)
    documented = set(re.findall(r"^\| `(?:[^|]*, `)*([a-z-]+)", PAGE.split("| option |")[0], re.M))
    assert documented == set(cli.commands)


def test_every_option_is_documented() -> None:
    assert isinstance(cli, click.Group)
    commands = [cli, *cli.commands.values()]
    commands += [
        sub
        for group in cli.commands.values()
        if isinstance(group, click.Group)
        for sub in group.commands.values()
    ]
    options = {
        name
        for command in commands
        for param in command.params
        for name in param.opts
        if name.startswith("--")
    }
    assert options - {"--version"} <= set(re.findall(r"(--[a-z-]+)", PAGE))


def test_every_variable_is_documented_and_nothing_else() -> None:
    read = {
        name
        for path in READ_IN
        for name in re.findall(r"\bPIXIW(?:_[A-Z]+)?\b(?=[\"':}]|\]|$)", path.read_text(), re.M)
    }
    documented = set(re.findall(r"^\| `(PIXIW\w*)`", PAGE, re.M))
    assert documented == read - INTERNAL


def test_every_refusal_is_documented() -> None:
    text = PAGE.partition("## What is different")[2]
    for key in (*_reader._CONTENT_REFUSED, *_tasks_reader._TASK_REFUSED):
        if key not in ("pypi-options", "depends_on"):
            words = key.replace("-dependencies", "-").replace("-options", "")
            assert re.search(rf"`{re.escape(words)}|`{re.escape(key)}`|{re.escape(key)}", text), key
