"""Which task runs where, with which words, after which others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.manifests import CPU, GPU, manifest

from ai_runner_base.errors import CallerError
from ai_runner_base.workspace import Host, Job, TaskGraph

pytestmark = pytest.mark.unit

TASKS = """
[tasks]
plain = "echo plain"
words = { cmd = ["printf", "%s", "a b"] }
first = "echo first"
second = { cmd = "echo second", depends-on = ["first"] }
third = { cmd = "echo third", depends-on = ["second", "first", { task = "greet", args = ["you", { how = "not" }] }] }
group = ["first", "plain"]
loop = { cmd = "x", depends-on = ["pool"] }
pool = { cmd = "y", depends-on = ["loop"] }
lost = { cmd = "x", depends-on = ["nowhere"] }
forward = { cmd = "echo {{ w }}", args = ["w"], depends-on = [{ task = "greet", args = ["{{ w }}"] }] }
where = "echo {{ pixi.environment.name }} {{ pixi.platform }} {{ pixi.init_cwd }} {{ pixi.is_linux }}"
broken = "echo {{ nothing }}"
inside = { cmd = "pwd", cwd = "sub/../sub", env = { X = "{{ pixi.platform }}" } }
preferred = { cmd = "echo preferred", default-environment = "other" }
faraway = { cmd = "echo far", default-environment = "gpu" }
same = "echo same"

[tasks.greet]
cmd = "echo {{ who }} {{ how }}"
args = ["who", { arg = "how", default = "nicely", choices = ["nicely", "not"] }]

[feature.f.tasks]
only = "echo only"
same = "echo other"

[feature.g]
platforms = ["linux-64-cuda"]

[environments]
other = ["f"]
gpu = ["g"]
"""


def jobs(
    tmp_path: Path, *words: str, environment: str | None = None, host: Host = CPU, text: str = TASKS
) -> list[Job]:
    graph = TaskGraph(manifest(tmp_path, text), host, environment, Path("/here"))
    return graph.jobs(words)


def commands(tmp_path: Path, *words: str, environment: str | None = None) -> list[str | None]:
    return [job.command for job in jobs(tmp_path, *words, environment=environment)]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("plain",), "echo plain"),
        (("plain", "--port", "9000", "a b"), "echo plain --port 9000 'a b'"),
        (("plain", "--", "-x"), "echo plain -x"),
        (("plain --fast",), "echo plain --fast"),
        (("words",), "printf %s 'a b'"),
        (("greet", "me"), "echo me nicely"),
        (("greet", "me", "not"), "echo me not"),
        (("greet", "--who=me"), "echo me nicely"),
        (("greet", "me", "--", "loud", "$x"), "echo me nicely loud '$x'"),
    ],
)
def test_words_behind_a_task(tmp_path: Path, words: tuple[str, ...], command: str) -> None:
    assert commands(tmp_path, *words) == [command]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("greet",), "task greet needs the argument who"),
        (("greet", "a", "not", "c"), "takes 2 arguments, got 3"),
        (("greet", "a", "badly"), "how is 'badly', must be one of nicely, not"),
        (("loop",), "in a circle: loop -> pool -> loop"),
        (("lost",), "task lost depends on nowhere, which is not there"),
        (("broken",), "'nothing' is undefined"),
        (("same",), "task same is in several environments: default, other, gpu"),
    ],
)
def test_what_cannot_run_is_explained(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        jobs(tmp_path, *words)


def test_dependencies_run_first_and_once(tmp_path: Path) -> None:
    assert commands(tmp_path, "third") == ["echo first", "echo second", "echo you not", "echo third"]


def test_a_group_has_no_command_of_its_own(tmp_path: Path) -> None:
    assert commands(tmp_path, "group") == ["echo first", "echo plain", None]


def test_arguments_are_handed_on_to_dependencies(tmp_path: Path) -> None:
    assert commands(tmp_path, "forward", "it") == ["echo it nicely", "echo it"]


def test_templates_know_the_environment(tmp_path: Path) -> None:
    assert commands(tmp_path, "where", environment="other") == ["echo other linux-64 /here True"]


def test_folder_and_variables_of_a_task(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, "inside")
    assert (job.cwd, job.env) == (tmp_path / "sub", {"X": "linux-64"})


@pytest.mark.parametrize(
    ("task", "asked", "host", "environment"),
    [
        ("plain", None, CPU, "default"),
        ("plain", "other", CPU, "other"),
        ("only", None, CPU, "other"),
        ("same", "other", CPU, "other"),
        ("preferred", None, CPU, "other"),
        ("preferred", "default", CPU, "default"),
        ("faraway", None, CPU, "default"),
        ("faraway", None, GPU, "gpu"),
    ],
)
def test_where_a_task_runs(
    tmp_path: Path, task: str, asked: str | None, host: Host, environment: str
) -> None:
    assert jobs(tmp_path, task, environment=asked, host=host)[-1].environment == environment


def test_a_dependency_may_name_its_environment(tmp_path: Path) -> None:
    text = """
[feature.l.tasks]
lint = "ruff"
[feature.t.tasks]
test = { cmd = "pytest", depends-on = [{ task = "lint", environment = "lint" }] }
bad = { cmd = "x", depends-on = [{ task = "test", environment = "lint" }] }
[environments]
test = ["t"]
lint = ["l"]
"""
    found = jobs(tmp_path, "test", "-k", "x", text=text)
    assert [(job.environment, job.command) for job in found] == [("lint", "ruff"), ("test", "pytest -k x")]
    with pytest.raises(CallerError, match="bad depends on test, which is not there in environment lint"):
        jobs(tmp_path, "bad", text=text)


def test_what_is_no_task_is_a_program_of_the_environment(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, "python", "-c", "print(1)")
    assert (job.environment, job.command, job.cwd) == ("default", "python -c 'print(1)'", Path("/here"))
    (job,) = jobs(tmp_path, "echo a && echo b", environment="other")
    assert (job.environment, job.command, job.task) == ("other", "echo a && echo b", None)


def test_a_task_outside_of_the_environment_asked_for_is_no_task(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, "only", environment="default")
    assert job.task is None
