"""Starting tasks: when a shell is needed, exit codes, what is skipped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests._support.manifests import CPU, manifest

from ai_runner_base.errors import CallerError
from ai_runner_base.workspace import Home, Job, Prepared, TaskGraph, TaskRunner, resolve
from ai_runner_base.workspace._activation import Activated
from ai_runner_base.workspace._run import plain_words

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ai-runner serve --port 9000", ["ai-runner", "serve", "--port", "9000"]),
        ("python -c 'print($HOME); x'", ["python", "-c", "print($HOME); x"]),
        ("a '' b", ["a", "", "b"]),
        ("a && b", None),
        ("a > b", None),
        ("echo $X", None),
        ("ls *.py", None),
        ("X=1 a", None),
        ("exit 3", None),
        ("a 'b", None),
        ("a # b", None),
        ("", None),
    ],
)
def test_a_shell_is_started_only_for_what_needs_one(command: str, words: list[str] | None) -> None:
    assert plain_words(command) == words


class Bench:
    """A workspace whose environment is this machine."""

    def __init__(self, root: Path, text: str) -> None:
        self.root = root
        self.manifest = manifest(root, text)
        self.home = Home(root / ".pixiw")
        self.home.make()
        self.said: list[str] = []

    def runner(self, stamp: str = "s") -> TaskRunner:
        plan = resolve(self.manifest, "default", CPU)
        generation = self.root / "generation"
        generation.mkdir(exist_ok=True)
        prepared = Prepared("default", self.root, generation, Activated(), 0, 0, stamp)
        return TaskRunner(
            self.manifest, self.home, {"default": (plan, prepared)}, self.said.append, self.root
        )

    def jobs(self, *words: str) -> list[Job]:
        return TaskGraph(self.manifest, CPU, None, self.root).jobs(words)

    def run(self, *words: str, stamp: str = "s") -> int:
        """Run all jobs as children: a group's last job has no command."""
        return self.runner(stamp).run(self.jobs(*words))


def test_jobs_run_in_order_and_stop_at_the_first_that_fails(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        '[tasks]\na = "echo a >> out"\nb = "echo b >> out && exit 7"\nc = ["a", "b", "a2"]\na2 = "echo c >> out"\n',
    )
    assert bench.run("c") == 7
    assert (tmp_path / "out").read_text() == "a\nb\n"
    assert bench.said == ["a (default): echo a >> out", "b (default): echo b >> out && exit 7"]


def test_a_command_killed_by_a_signal_has_the_shells_exit_code(tmp_path: Path) -> None:
    bench = Bench(tmp_path, """[tasks]\na = "kill -9 $$"\nc = ["a"]\n""")
    assert bench.run("c") == 128 + signal.SIGKILL


def test_tasks_see_their_variables_and_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    text = '[activation.env]\nX = "from $PIXI_PROJECT_NAME"\n[tasks]\nc = ["a"]\n'
    text += 'a = { cmd = "echo $X $Y > out", cwd = "sub", env = { Y = "y" } }\n'
    assert Bench(tmp_path, text).run("c") == 0
    assert (tmp_path / "sub" / "out").read_text() == "from demo y\n"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="no task and no program 'nosuch-thing' in environment default"):
        Bench(tmp_path, "").run("nosuch-thing", "x")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="there is no folder"):
        Bench(tmp_path, '[tasks]\na = { cmd = "true", cwd = "none" }\nc = ["a"]\n').run("c")


def test_the_last_command_replaces_the_process(tmp_path: Path) -> None:
    text = "[tasks]\na = \"sh -c 'echo $PPID $$ > out; exit 3'\"\n"
    with _child(tmp_path, f"bench = t.Bench(Path(sys.argv[3]), {text!r}); bench.run('a')") as child:
        child.communicate(timeout=20)
    assert child.returncode == 3
    parent, own = (tmp_path / "out").read_text().split()
    assert (int(parent), int(own)) == (os.getpid(), child.pid)


CACHED = """
[tasks]
a = { cmd = "cat in/one > out && echo ran >> log", inputs = ["in/**", "!in/skip"], outputs = ["out"] }
"""


@pytest.fixture
def cached(tmp_path: Path) -> Bench:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("one", "skip", "deep/two"):
        (tmp_path / "in" / name).write_text(name)
    return Bench(tmp_path, CACHED)


def ran(bench: Bench) -> int:
    return (bench.root / "log").read_text().count("ran")


def test_unchanged_tasks_are_skipped(cached: Bench) -> None:
    assert cached.run("a") == 0
    assert cached.run("a") == 0
    assert ran(cached) == 1
    assert cached.said[-1] == "a (default) (unchanged, skipped)"


@pytest.mark.parametrize("changed", ["in/one", "in/deep/two", "in/new", "out"])
def test_a_changed_input_or_output_makes_it_run(cached: Bench, changed: str) -> None:
    cached.run("a")
    (cached.root / changed).write_text("changed")
    cached.run("a")
    assert ran(cached) == 2


def test_what_the_globs_leave_out_does_not_count(cached: Bench) -> None:
    cached.run("a")
    (cached.root / "in" / "skip").write_text("changed")
    cached.run("a")
    assert ran(cached) == 1


def test_a_missing_output_or_another_environment_makes_it_run(cached: Bench) -> None:
    cached.run("a")
    (cached.root / "out").unlink()
    cached.run("a")
    cached.run("a", stamp="another")
    assert ran(cached) == 3


def test_failures_are_not_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, '[tasks]\na = { cmd = "echo ran >> log; exit 1", inputs = ["pixi.toml"] }\n')
    assert (bench.run("a"), bench.run("a")) == (1, 1)
    assert ran(bench) == 2


def _child(root: Path, statements: str) -> subprocess.Popen[str]:
    script = (
        "import signal, sys; sys.path[:0] = sys.argv[1:3]\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in what a script starts with &
        "from pathlib import Path\n"
        "from tests.unit import test_workspace_run as t\n"
        f"{statements}\n"
    )
    repository = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(repository), str(repository / "src"), str(root)]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE)


SLOW = """
[tasks]
a = "sh -c 'trap \\"echo told > told; exit 9\\" INT TERM; echo $$ > pid; while :; do sleep 0.05; done'"
c = ["a"]
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_running_task(tmp_path: Path, number: signal.Signals) -> None:
    with _child(tmp_path, "t.Bench(Path(sys.argv[3]), t.SLOW).run('c')") as child:
        try:
            _wait_for(tmp_path / "pid")
            child.send_signal(number)
            child.communicate(timeout=20)
        finally:
            child.kill()
    assert (tmp_path / "told").read_text() == "told\n"


def _wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline_s, f"{path} did not appear"
        time.sleep(0.02)
