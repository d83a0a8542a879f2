"""A pipeline that would hang a host cannot be built: its recipe has it checked, under the name that it registers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

RECIPES = Path(__file__).parents[2] / "recipes"
ON_ANY_HOST = (
    "ai-runner-background",
    "ai-runner-compat",
    "ai-runner-effects",
    "ai-runner-noop",
    "ai-runner-style",
)
"""The others need a GPU, or weights that are fetched by whoever installs them, before they can run at all."""


@pytest.mark.parametrize("name", ON_ANY_HOST)
def test_the_recipe_has_the_pipeline_checked(name: str) -> None:
    project = tomllib.loads((RECIPES / name / "pyproject.toml").read_text())["project"]
    (pipeline,) = project["entry-points"]["ai_runner.pipeline"]
    tests = (RECIPES / name / "recipe.yaml").read_text().partition("\ntests:\n")[2]
    assert f"- ai-runner check {pipeline} --quick --cpu" in tests.partition("\nabout:\n")[0]
