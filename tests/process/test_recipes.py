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
ELSEWHERE = {"ai-runner-streamdiffusion"}
"""Not in the environment `test`; the task `test-streamdiffusion` runs this in one that has PyTorch."""
WITH_STANDINS = {"ai-runner-comfyui", "ai-runner-scope"}
"""What these run on is in no environment that can be made for tests: Python 3.12, somebody's checkout, a GPU."""


def test_every_pipeline_has_tests_of_its_own() -> None:
    pipelines = {path.parent.name for path in RECIPES.glob("*/pyproject.toml")}
    assert pipelines == set(WITH_TESTS)
    assert {"ai-runner-noop", "ai-runner-effects"} <= pipelines


def _what_is_tested(name: str) -> list[str]:
    """The package as it was built, weights included; else the sources, beside stand-ins for what they need."""
    project = tomllib.loads((RECIPES / name / "pyproject.toml").read_text())["project"]
    if name in ELSEWHERE and not is_installed(name):
        pytest.skip(f"{name} is in an environment of its own")
    if name in WITH_STANDINS:
        return ["-o", "pythonpath=src"]
    assert importlib.metadata.version(project["name"]) == project["version"]
    return ["-o", "pythonpath=tools"]


def is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.parametrize("name", WITH_TESTS)
def test_its_own_tests_pass(name: str) -> None:
    folder = RECIPES / name
    options = ["-q", "-c", folder / "pyproject.toml", "--rootdir", folder]
    command = [sys.executable, "-m", "pytest", *options, *_what_is_tested(name), folder / "tests"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
