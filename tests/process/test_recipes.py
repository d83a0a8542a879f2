"""Each pipeline's folder is a repository of its own: its own tests pass, by its own settings."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

RECIPES = Path(__file__).parents[2] / "recipes"
WITH_TESTS = sorted(path.parent.name for path in RECIPES.glob("*/tests"))


def test_every_pipeline_has_tests_of_its_own() -> None:
    pipelines = {path.parent.name for path in RECIPES.glob("*/pyproject.toml")}
    assert pipelines == set(WITH_TESTS)
    assert {"ai-runner-noop", "ai-runner-effects"} <= pipelines


@pytest.mark.parametrize("name", WITH_TESTS)
def test_its_own_tests_pass(name: str) -> None:
    project = tomllib.loads((RECIPES / name / "pyproject.toml").read_text())["project"]
    assert importlib.metadata.version(project["name"]) == project["version"]
    folder = RECIPES / name
    options = ["-q", "-c", folder / "pyproject.toml", "--rootdir", folder]
    # The package as it was built, weights included, not the folder's sources.
    installed = ["-o", "pythonpath=tools"]
    command = [sys.executable, "-m", "pytest", *options, *installed, folder / "tests"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
