"""The documentation says what the code does: routes, commands, options, environment variables."""

from __future__ import annotations

import re
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
