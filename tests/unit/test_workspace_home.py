"""The folder of pixiw: its lock, its small files, its generations, and the stamp that says nothing is to be done."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests._support.manifests import CPU, manifest

from ai_runner_base.errors import HostError
from ai_runner_base.workspace import (
    EnvironmentPlan,
    Home,
    Host,
    ready,
    remember_host,
    remembered_host,
    resolve,
)
from ai_runner_base.workspace import _host as host_module
from ai_runner_base.workspace._generations import (
    current_generation,
    hold,
    make_current,
    mark_complete,
    new_generation,
    sweep,
)
from ai_runner_base.workspace._home import read_json, write_json
from ai_runner_base.workspace._ready import current_stamp, save_state
from ai_runner_base.workspace._stamp import files_digest

pytestmark = pytest.mark.unit


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / ".pixiw")
    found.make()
    return found


def complete(home: Home, environment: str = "e") -> Path:
    generation = new_generation(home, environment)
    (generation / "conda-meta").mkdir()
    mark_complete(generation)
    make_current(home, environment, generation)
    return generation


def test_the_home_is_in_the_workspace_or_where_the_variable_says(tmp_path: Path) -> None:
    assert Home.of(tmp_path, None).root == tmp_path / ".pixiw"
    assert Home.of(tmp_path, "/elsewhere").root == Path("/elsewhere")


def test_a_home_that_cannot_be_written_to_says_what_to_do() -> None:
    with pytest.raises(HostError, match="cannot write to /proc/pixiw") as caught:
        Home(Path("/proc/pixiw")).make()
    assert "PIXIW_HOME" in caught.value.hint


def test_git_is_told_to_leave_the_home_alone(home: Home) -> None:
    assert (home.root / ".gitignore").read_text() == "*\n"


def test_the_second_one_waits_and_is_told_for_whom(home: Home) -> None:
    told: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with home.locked("install", told.append):
            entered.set()

    with home.locked("run serve", told.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(5.0)
    assert entered.is_set()
    assert len(told) == 1
    assert f"process {os.getpid()}, run serve" in told[0]


def test_files_are_replaced_at_once_and_rubbish_reads_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "x.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]
    path.write_text('{"a": ')
    assert read_json(path) is None
    path.write_text("[1]")
    assert read_json(path) is None


def test_the_prefix_moves_to_a_complete_generation_in_one_step(home: Home) -> None:
    first = complete(home)
    assert current_generation(home, "e") == first
    assert home.prefix("e").resolve() == first
    second = complete(home)
    assert second.name == "e-2"
    assert current_generation(home, "e") == second


def test_names_that_continue_each_other_are_kept_apart(home: Home) -> None:
    complete(home, "a")
    other = complete(home, "a-1")
    assert other.name == "a-1-1"
    sweep(home, "a")
    assert other.is_dir()


def test_sweeping_removes_what_was_interrupted_and_keeps_one_before(home: Home) -> None:
    generations = [complete(home) for _ in range(3)]
    half = new_generation(home, "e")
    (half / "conda-meta").mkdir()
    (home.environments / ".e.123").symlink_to("nowhere")
    sweep(home, "e")
    assert [path.exists() for path in generations] == [False, True, True]
    assert not half.exists()
    assert sorted(path.name for path in home.environments.iterdir()) == ["e"]


def test_an_unfinished_generation_before_the_current_one_is_no_fallback(home: Home) -> None:
    half = new_generation(home, "e")
    current = complete(home)
    sweep(home, "e")
    assert (half.exists(), current.exists()) == (False, True)


def test_what_a_running_task_uses_stays(home: Home) -> None:
    used = complete(home)
    script = "import sys; from pathlib import Path; from ai_runner_base.workspace._generations import hold\n"
    script += "hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(used)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        complete(home)
        complete(home)
        sweep(home, "e")
        assert used.is_dir()
        child.communicate(timeout=10)
    sweep(home, "e")
    assert not used.exists()


def test_holding_survives_an_exec(home: Home) -> None:
    generation = complete(home)
    hold(generation)
    (descriptor,) = [
        int(link.name) for link in Path("/proc/self/fd").iterdir() if link.resolve() == generation
    ]
    try:
        assert os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


# ---- the stamp


@pytest.fixture
def plan(tmp_path: Path) -> EnvironmentPlan:
    return resolve(manifest(tmp_path, '[dependencies]\nx = "1.*"\n'), "default", CPU)


def prepare(plan: EnvironmentPlan, home: Home, inputs: list[Path]) -> Path:
    generation = complete(home, "default")
    found = {"packages": 1, "size_bytes": 2, "activation": {"path": [], "variables": {}, "removed": []}}
    save_state(plan, home, generation, current_stamp(plan, inputs), found)
    return generation


def test_an_environment_is_ready_until_something_that_counts_changes(
    tmp_path: Path, home: Home, plan: EnvironmentPlan
) -> None:
    source = tmp_path / "src"
    (source / "__pycache__").mkdir(parents=True)
    (source / "a.py").write_text("1")
    assert ready(plan, home) is None
    prepare(plan, home, [source])
    found = ready(plan, home)
    assert found is not None
    assert (found.packages, found.prefix) == (1, home.prefix("default"))
    (source / "__pycache__" / "a.pyc").write_text("x")
    (source / ".hidden").write_text("x")
    assert ready(plan, home) == found
    (source / "b.py").write_text("2")
    assert ready(plan, home) is None
    assert ready(plan, home, frozen=True) == found


def test_comments_and_tasks_do_not_count_but_specs_do(
    tmp_path: Path, home: Home, plan: EnvironmentPlan
) -> None:
    prepare(plan, home, [])
    same = manifest(tmp_path, '# said\n[dependencies]\nx = "1.*"\n[tasks]\nt = "true"\n')
    assert ready(resolve(same, "default", CPU), home) is not None
    other = manifest(tmp_path, '[dependencies]\nx = "2.*"\n')
    assert ready(resolve(other, "default", CPU), home) is None


def test_another_driver_is_another_environment(tmp_path: Path, home: Home, plan: EnvironmentPlan) -> None:
    prepare(plan, home, [])
    newer = Host("linux-64", {**CPU.virtual_packages, "__glibc": "2.40"})
    assert ready(resolve(manifest(tmp_path, '[dependencies]\nx = "1.*"\n'), "default", newer), home) is None


def test_an_environment_that_somebody_else_changed_is_not_ready(home: Home, plan: EnvironmentPlan) -> None:
    generation = prepare(plan, home, [])
    (generation / "conda-meta" / "new.json").touch()
    assert ready(plan, home) is None
    assert ready(plan, home, frozen=True) is None


def test_an_environment_whose_files_are_gone_is_not_ready(home: Home, plan: EnvironmentPlan) -> None:
    prepare(plan, home, [])
    home.prefix("default").unlink()
    assert ready(plan, home) is None


def test_a_missing_input_counts_as_a_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    before = files_digest([path])
    path.write_text("1")
    assert files_digest([path]) != before


def test_the_host_is_remembered_until_its_fingerprint_changes(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remembered_host(home) is None
    remember_host(home, CPU)
    assert remembered_host(home) == CPU
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.8")
    assert remembered_host(home) is None
    monkeypatch.delenv("CONDA_OVERRIDE_CUDA")
    monkeypatch.setattr(host_module, "_driver", lambda: "another one")
    assert remembered_host(home) is None
