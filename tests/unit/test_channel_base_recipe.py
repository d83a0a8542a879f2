"""The runner's recipe and `pyproject.toml` say the same, through the table of names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ai_runner_base.channel import Recipe, load, names, versions
from ai_runner_base.channel.recipes import render

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "ai-runner-base"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load(FOLDER)


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    return dict(render(FOLDER, "0" * 8)[0].recipe.to_dict())


def conda(requirement: str) -> str:
    parsed = Requirement(requirement)
    return f"{names.to_conda(parsed.name)} {versions.to_conda(parsed.specifier)}"


def test_name_and_version(recipe: Recipe, project: dict[str, Any]) -> None:
    assert [(o.name, o.version) for o in recipe.outputs] == [(project["name"], project["version"])]


def test_what_it_needs_to_run(recipe: Recipe, project: dict[str, Any]) -> None:
    python = f"python {versions.to_conda(SpecifierSet(project['requires-python']))}"
    assert set(recipe.outputs[0].depends) == {python, *map(conda, project["dependencies"])}
    assert python in recipe.outputs[0].host


def test_the_distribution_side_binds_only_where_it_is_installed(
    recipe: Recipe, project: dict[str, Any]
) -> None:
    extra = project["optional-dependencies"]["workspace"]
    assert set(recipe.outputs[0].constrains) == set(map(conda, extra))


def test_what_it_is_built_with(recipe: Recipe) -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {"pip", *map(names.to_conda, build)} <= {spec.split()[0] for spec in recipe.outputs[0].host}


def test_commands_licence_and_summary(rendered: dict[str, Any], project: dict[str, Any]) -> None:
    commands = [f"{name} = {target}" for name, target in project["scripts"].items()]
    assert rendered["build"]["python"]["entry_points"] == commands
    assert rendered["about"]["license"] == project["license"]
    assert rendered["about"]["license_file"] in (project["license-files"], project["license-files"][0])
    assert rendered["about"]["summary"] == project["description"]


def test_sources_are_what_the_build_needs_and_no_more(recipe: Recipe) -> None:
    watched = {path.relative_to(ROOT) for source in recipe.sources for path in source.watched()}
    files = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
    wrapper = ("scripts/pixiw", "scripts/pixiw-requirements.txt")  # for `ai-runner new`
    assert watched == set(map(Path, ("src", "recipes/ai-runner-base", *files, *wrapper)))
    names_of_files = {path for source in recipe.sources for path, _ in source.files()}
    assert "src/ai_runner_base/channel/names.py" in names_of_files
    assert not any(path.startswith(("tests/", "docs/")) or path.endswith(".pyc") for path in names_of_files)
