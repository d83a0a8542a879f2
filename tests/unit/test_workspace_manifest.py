"""pixi.toml itself: valid for pixi, understood by pixiw, and readable as a menu."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
from tests._support.manifests import CPU, GPU

from ai_runner_base.errors import HostError
from ai_runner_base.workspace import Host, Task, TaskGraph, find_environment, read_manifest, resolve

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[2]
PATH = REPOSITORY / "pixi.toml"
SCHEMA = Path(__file__).parents[1] / "data" / "pixi-schema.json"  # pixi's own, less its examples
MANIFEST = read_manifest(PATH)
TASKS = {
    (feature.name, name): task
    for feature in MANIFEST.features.values()
    for layer in (feature.base, *(layer for _, layer in feature.targets))
    for name, task in layer.tasks.items()
}


def test_it_is_valid_by_pixis_schema() -> None:
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    errors = [
        f"{'.'.join(map(str, e.path))}: {e.message}"
        for e in validator.iter_errors(tomllib.loads(PATH.read_text()))
    ]
    assert errors == []


def test_it_names_the_schema_that_it_is_checked_with() -> None:
    assert PATH.read_text().splitlines()[0] == f"#:schema {json.loads(SCHEMA.read_text())['$id']}"


def test_it_uses_the_current_style() -> None:
    keys = set(tomllib.loads(PATH.read_text()))
    assert not keys & {"project", "system-requirements", "pypi-dependencies"}
    assert MANIFEST.channels == ("conda-forge",)
    assert [platform.name for platform in MANIFEST.platforms] == ["linux-64-cuda", "linux-64"]


@pytest.mark.parametrize("host", [CPU, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("environment", MANIFEST.environments)
def test_every_environment_can_be_planned_everywhere(environment: str, host: Host) -> None:
    if environment == "cuda" and host is CPU:
        with pytest.raises(HostError, match="cuda"):
            resolve(MANIFEST, environment, host)
        return
    plan = resolve(MANIFEST, environment, host)
    assert "python >=3.11,<3.14" in plan.specs
    assert all((folder / "recipe.yaml").is_file() for folder in plan.recipes.values())


def test_the_environments_that_are_promised_are_there() -> None:
    assert {"default", "noop", "effects", "test", "lint", "build", "torch"} <= set(MANIFEST.environments)
    for name in ("noop", "effects"):
        plan = resolve(MANIFEST, name, CPU)
        assert plan.activation.env["MODEL_ID"] == name
        assert f"ai-runner-{name}" in plan.recipes


def test_the_default_environment_has_all_that_it_prefers() -> None:
    plan = resolve(MANIFEST, "default", CPU)
    preferred = plan.activation.env["AI_RUNNER_PREFER"].split()
    assert preferred == ["background", "effects"]
    assert {f"ai-runner-{name}" for name in preferred} <= set(plan.recipes)
    assert "MODEL_ID" not in plan.activation.env


@pytest.mark.parametrize("name", [f"{feature}: {task}" for feature, task in TASKS])
def test_every_task_says_in_a_line_what_it_is_for(name: str) -> None:
    feature, task = name.split(": ")
    assert 10 < len(TASKS[feature, task].description) <= 110


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_tasks_keep_to_what_pixis_shell_and_bash_share(task: Task) -> None:
    command = task.command if isinstance(task.command, str) else " ".join(task.command or ())
    assert not re.search(r"\b(if|then|for|while|case|function)\b|\[\[|`|\$\(\(|<\(|<<|\bset -|&$", command)


def test_the_words_of_the_readme_run_where_they_should() -> None:
    def where(*words: str, environment: str | None = None) -> list[tuple[str, str | None]]:
        jobs = TaskGraph(MANIFEST, CPU, environment, REPOSITORY).jobs(words)
        return [(job.environment, job.command) for job in jobs]

    assert where("serve", "--port", "9000") == [("default", "ai-runner serve --port 9000")]
    assert where("serve", environment="noop") == [("noop", "ai-runner serve")]
    before_the_tests = ["lint", "test-webrtc", "test-streamdiffusion"]
    assert [environment for environment, _ in where("test")] == [*before_the_tests, "test"]
    assert where("test", "-k", "x")[-1] == ("test", "pytest -k x")
    assert where("bench", "pixiw") == [("test", "python bench/pixiw.py")]


def test_in_repo_packages_come_from_their_recipes() -> None:
    for name in MANIFEST.environments:
        for feature in find_environment(MANIFEST, name).features:
            for requirement in feature.base.dependencies.values():
                assert (requirement.path is not None) == requirement.name.startswith("ai-runner-")
