"""The documentation says what the code does: routes, commands, options, environment variables."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from ai_runner_base.cli import _COMMANDS, cli
from ai_runner_base.server import api_routes

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[2] / "docs"


def test_every_route_is_documented_and_nothing_else() -> None:
    page = (DOCS / "reference/http.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z]+ /[^`]*)`", page, re.M))
    assert documented == {f"{route.method} {route.path}" for route in api_routes()}


def _commands() -> dict[str, click.Command]:
    return {name: import_module(f"ai_runner_base.cli.{name}").command for name in _COMMANDS} | {"": cli}


@pytest.mark.parametrize("name", [*_COMMANDS, ""])
def test_every_option_is_documented(name: str) -> None:
    page = (DOCS / "reference/cli.md").read_text()
    section = re.split(r"^## ", page, flags=re.M)
    heading = f"ai-runner {name}".strip()
    text = next(part for part in section if part.split("\n")[0].strip("` ") == heading)
    options = {o for p in _commands()[name].params for o in p.opts if o.startswith("--")}
    assert options <= set(re.findall(r"`(--[\w-]+)", text)), f"undocumented in {heading}"
    known = options | {"--help", "--version"}
    assert set(re.findall(r"^\| `(--[\w-]+)", text, re.M)) <= known, f"documented but unknown in {heading}"


def test_every_environment_variable_is_documented_and_nothing_else() -> None:
    page = (DOCS / "reference/environment-variables.md").read_text()
    read_by_click = {str(p.envvar) for c in _commands().values() for p in c.params if p.envvar}
    runner = page.split("## Set for workers")[0]
    assert set(re.findall(r"^\| `(\w+)`", runner, re.M)) == read_by_click


def test_every_decision_stands_in_the_index() -> None:
    index = (DOCS / "decisions/README.md").read_text()
    pages = {path.name for path in (DOCS / "decisions").glob("0*.md")}
    assert set(re.findall(r"\]\((0[^)]*)\)", index)) == pages


COMMAND_LINE = re.compile(r"^\s*\$ (?:sudo )?(?:[A-Z_]+=\S+ )*ai-runner (.*?)(?:\s+#.*)?$", re.M)


def _command_lines() -> list[tuple[str, str]]:
    pages = [*DOCS.rglob("*.md"), *(DOCS.parent / name for name in ("README.md", "envs/README.md"))]
    return [(page.name, line) for page in sorted(pages) for line in COMMAND_LINE.findall(page.read_text())]


def test_every_command_line_in_the_documentation_can_be_parsed() -> None:
    lines = _command_lines()
    assert len(lines) > 20
    for page, line in lines:
        words = shlex.split(line.replace("$SERVER", "http://server"))
        command: click.Command = cli
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, f"{page}: ai-runner {line}: there is no command {name}"
            command = found
        try:
            command.make_parser(click.Context(command)).parse_args(words)
        except click.UsageError as error:
            pytest.fail(f"{page}: ai-runner {line}: {error.message}")
