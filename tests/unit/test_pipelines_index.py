"""The table of pipelines says what recipes and pixi.toml say; adapters under other licences stay by themselves."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/pipelines"
ENVIRONMENTS = tomllib.loads((ROOT / "pixi.toml").read_text())["environments"]
RECIPES = {path.parent.name: path for path in ROOT.glob("recipes/*/recipe.yaml")}


def _rows() -> dict[str, dict[str, str]]:
    """By name of the pipeline: licence, environment and link of its row."""
    rows = {}
    for line in (PAGES / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.fullmatch(r"(?:\[)?`([\w-]+)`(?:\]\((.+)\))?", cells[0])
        if name:
            environment = re.search(r"run -e ([\w-]+) serve", cells[5])
            assert environment, line
            rows[name[1]] = {"link": name[2], "licence": cells[2], "environment": environment[1]}
    return rows


def _registered() -> dict[str, str]:
    """Recipe by name of its pipeline."""
    found = {}
    for recipe in RECIPES:
        project = ROOT / "recipes" / recipe / "pyproject.toml"
        groups = (
            tomllib.loads(project.read_text())["project"].get("entry-points", {}) if project.exists() else {}
        )
        found |= dict.fromkeys(groups.get("ai_runner.pipeline", {}), recipe)
    return found


def test_every_pipeline_has_a_row_and_no_other() -> None:
    assert set(_rows()) == set(_registered())


@pytest.mark.parametrize("name", sorted(_registered()))
def test_a_row_says_what_recipe_and_manifest_say(name: str) -> None:
    row, recipe = _rows()[name], _registered()[name]
    licence = re.search(r"^  license: (.+)$", RECIPES[recipe].read_text(), re.M)
    assert licence is not None
    assert row["licence"] == licence[1]
    assert ENVIRONMENTS[row["environment"]]["activation"]["env"]["MODEL_ID"] == name
    assert not row["link"] or (PAGES / row["link"]).is_file()


@pytest.mark.parametrize("name", ["scope", "comfyui"])
def test_an_adapter_under_another_licence_is_in_one_environment_only(name: str) -> None:
    assert [key for key, found in ENVIRONMENTS.items() if name in found["features"]] == [name]
