"""The program as people call it, on a channel of tiny packages."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests._support.tinychannel import host_python, module, program, write_channel

pytestmark = pytest.mark.dist

SOURCE = Path(__file__).parents[2] / "src"
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ai_runner_base.cli.pixiw import main; main()"
MANIFEST = """\
[workspace]
name = "w"
channels = ["c"]
platforms = [{ name = "cuda", platform = "linux-64", cuda = "12.8" }, "linux-64"]
[dependencies]
python = "*"
alpha = "*"
[tasks]
show = { cmd = "python -c 'import alpha; print(alpha.VERSION)'", description = "Show the version" }
greet = { cmd = "echo $GREETING {{ who }}", args = [{ arg = "who", default = "you" }], env = { GREETING = "hi" } }
both = { depends-on = ["show", { task = "greet", args = ["all"] }] }
fail = "exit 7"
_secret = "true"
[feature.more.dependencies]
tool = "*"
[feature.extra.tasks]
tool-task = { cmd = "tool", depends-on = [{ task = "show", environment = "default" }] }
[feature.gpu]
platforms = ["cuda"]
[environments]
more = ["more", "extra"]
gpu = ["gpu", "more"]
"""


@dataclass
class Pixiw:
    """The program in a folder of its own."""

    root: Path
    env: dict[str, str]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-I", "-c", START, str(SOURCE), *words]

    def call(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=cwd or self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def out(self, *words: str) -> str:
        done = self.call(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def pixiw(tmp_path: Path) -> Pixiw:
    channel = tmp_path / "channel"
    write_channel(channel, host_python(), module("alpha"), program("tool"))
    root = tmp_path / "w"
    root.mkdir()
    (root / "pixi.toml").write_text(MANIFEST)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIXI", "CONDA"))}
    env |= {"PIXIW_CHANNELS": channel.as_uri(), "CONDA_OVERRIDE_CUDA": "", "TERM": "xterm", "COLUMNS": "80"}
    return Pixiw(root, env)


def test_run_makes_the_environment_says_so_in_plain_lines_and_runs(pixiw: Pixiw) -> None:
    done = pixiw.call("run", "show")
    assert (done.returncode, done.stdout) == (0, "1.0\n")
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == [
        "solved",
        "verified",
        "linked",
        "compiled",
        "environment",
        "show",
    ]
    assert "\x1b" not in done.stderr
    again = pixiw.call("run", "show")
    assert again.stderr == "show (default): python -c 'import alpha; print(alpha.VERSION)'\n"


def test_the_second_run_imports_neither_solver_nor_display(pixiw: Pixiw) -> None:
    pixiw.out("install")
    spy = "import json, os, sys\nprint_modules = lambda: print(json.dumps(sorted(sys.modules)), flush=True)\n"
    spy += "os.execve = lambda *_: (print_modules(), os._exit(0))\n"
    command = [sys.executable, "-I", "-c", spy + START, str(SOURCE), "-q", "run", "show"]
    done = subprocess.run(
        command, cwd=pixiw.root, env=pixiw.env, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "ai_runner_base" in loaded
    assert not loaded & {
        "rattler",
        "rattler_build",
        "rich",
        "jinja2",
        "asyncio",
        "numpy",
        "pydantic",
        "aiohttp",
        "packaging",
    }


def test_tasks_with_arguments_and_dependencies(pixiw: Pixiw) -> None:
    assert pixiw.out("run", "both") == "1.0\nhi all\n"
    assert pixiw.out("run", "greet", "Bob") == "hi Bob\n"
    assert pixiw.out("run", "--skip-deps", "tool-task") == f"tool 1.0 {pixiw.root}/.pixiw/envs/more\n"
    assert pixiw.out("run", "tool-task").startswith("1.0\ntool 1.0")


def test_exit_codes_are_those_of_the_command(pixiw: Pixiw) -> None:
    assert pixiw.call("run", "fail").returncode == 7
    assert pixiw.call("run", "python", "-c", "raise SystemExit(9)").returncode == 9
    assert pixiw.call("run", "nosuch").returncode == 2


def test_programs_run_where_the_person_is_and_tasks_where_the_manifest_is(pixiw: Pixiw) -> None:
    inner = pixiw.root / "inner"
    inner.mkdir()
    code = "import os; print(os.getcwd(), os.environ['INIT_CWD'])"
    assert pixiw.call("run", "python", "-c", code, cwd=inner).stdout == f"{inner} {inner}\n"
    assert pixiw.call("run", "-x", "python", "-c", "print(1)", cwd=inner).stdout == "1\n"
    elsewhere = pixiw.call("run", "--manifest-path", str(pixiw.root), "show", cwd=pixiw.root.parent)
    assert elsewhere.stdout == "1.0\n"
    nowhere = pixiw.call("run", "show", cwd=pixiw.root.parent)
    assert (nowhere.returncode, "no pixi.toml" in nowhere.stderr) == (2, True)


def test_an_environment_for_a_gpu_is_refused_here_and_nothing_is_fetched(pixiw: Pixiw) -> None:
    done = pixiw.call("run", "-e", "gpu", "tool")
    assert done.returncode == 5
    assert done.stderr == (
        "error on this host: environment gpu needs __cuda >=12.8 (platform cuda), this host has no __cuda\n"
        "  the nearest environment that runs here: -e more\n"
    )
    assert not (pixiw.root / ".pixiw" / "cache" / "pkgs").exists()
    pixiw.env["CONDA_OVERRIDE_CUDA"] = "13.0"
    assert pixiw.out("run", "-e", "gpu", "tool").startswith("tool 1.0")


def test_the_menu_of_tasks(pixiw: Pixiw) -> None:
    lines = pixiw.out("task", "list").splitlines()
    assert lines[0].split(maxsplit=1) == ["show", "Show the version"]
    assert lines[-1] == "tool-task  tool [in more]"
    assert not any("_secret" in line for line in lines)
    found = {task["name"]: task for task in json.loads(pixiw.out("task", "list", "--json"))}
    assert found["tool-task"]["environments"] == ["more"]
    assert found["greet"]["args"] == ["who"]
    assert pixiw.out("run") == pixiw.out("task", "list")


def test_install_list_and_info(pixiw: Pixiw) -> None:
    done = pixiw.call("install", "--all")
    assert "environment gpu: not for this host, left out" in done.stderr
    found = json.loads(pixiw.out("list", "-e", "more", "--json"))
    assert {(row["name"], row["explicit"]) for row in found} == {
        ("alpha", True),
        ("python", True),
        ("tool", True),
    }
    assert pixiw.out("list", "^al").split()[:3] == ["*", "alpha", "1.0"]
    info = json.loads(pixiw.out("info", "--json"))
    states = {name: value["state"] for name, value in info["environments"].items()}
    assert states == {"default": "ready", "more": "ready", "gpu": "not for this host"}
    (pixiw.root / "pixi.toml").write_text(MANIFEST.replace('tool = "*"', 'tool = "1.*"'))
    assert "more: out of date" in pixiw.out("info")


def test_shell_hook_activates(pixiw: Pixiw) -> None:
    script = pixiw.out("-q", "shell-hook", "-e", "more") + "tool\necho $PIXI_ENVIRONMENT_NAME\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"tool 1.0 {pixiw.root}/.pixiw/envs/more\nmore\n"
    found = json.loads(pixiw.out("-q", "shell-hook", "--json"))["environment_variables"]
    assert found["CONDA_PREFIX"] == f"{pixiw.root}/.pixiw/envs/default"


def test_frozen_locked_and_no_install(pixiw: Pixiw) -> None:
    missing = pixiw.call("run", "--no-install", "show")
    assert (missing.returncode, "is not installed" in missing.stderr) == (2, True)
    assert "was never solved here" in pixiw.call("run", "--locked", "show").stderr
    pixiw.out("install")
    (pixiw.root / "pixi.toml").write_text(MANIFEST.replace('alpha = "*"', 'alpha = "*"\nnosuch = "*"'))
    assert pixiw.out("run", "--frozen", "show") == "1.0\n"
    assert pixiw.out("run", "--as-is", "show") == "1.0\n"
    assert "has changed in the manifest" in pixiw.call("run", "--locked", "show").stderr
    assert "cannot be solved" in pixiw.call("run", "show").stderr
    assert pixiw.call("run", "--frozen", "--locked", "show").returncode == 2


def test_clean_removes_what_it_says(pixiw: Pixiw) -> None:
    pixiw.out("install", "--all")
    home = pixiw.root / ".pixiw"
    pixiw.out("clean", "-e", "more")
    assert sorted(path.name for path in (home / "envs").iterdir()) == ["default"]
    pixiw.out("clean", "cache")
    assert pixiw.out("run", "show") == "1.0\n"
    assert not (home / "cache").exists()
    pixiw.out("clean", "all")
    assert not any(list((home / name).iterdir()) for name in ("envs", "generations"))
    assert pixiw.out("run", "show") == "1.0\n"


def test_quiet_and_verbose(pixiw: Pixiw) -> None:
    assert pixiw.call("run", "-v", "show").stderr.count("\nlink ") == 2
    done = pixiw.call("-q", "run", "show")
    assert (done.stdout, done.stderr) == ("1.0\n", "")
    pixiw.out("clean")
    assert pixiw.call("run", "--quiet", "show").stderr == ""


def test_on_a_terminal_progress_moves_and_ends_with_one_line(pixiw: Pixiw) -> None:
    parent, child = pty.openpty()
    with subprocess.Popen(
        pixiw.command("install"), cwd=pixiw.root, env=pixiw.env, stdout=child, stderr=child
    ) as process:
        os.close(child)
        text = _read_all(parent)
        process.wait(60)
    os.close(parent)
    assert "\x1b[" in text
    assert "environment default: 2 packages, under 1 MB" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25l" not in text.rpartition("\x1b[?25h")[2]


def _read_all(descriptor: int) -> str:
    deadline_s = time.monotonic() + 60
    data = b""
    while time.monotonic() < deadline_s:
        if not select.select([descriptor], [], [], 1.0)[0]:
            continue
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not chunk:
            break
        data += chunk
    return data.decode(errors="replace")


# ---- stopped in the middle


@pytest.fixture
def silent_channel() -> Iterator[str]:
    """A channel that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def _installing(pixiw: Pixiw, channel: str) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """pixiw in the middle of solving, and its working process."""
    pixiw.env["PIXIW_CHANNELS"] = channel
    with subprocess.Popen(
        pixiw.command("install"),
        cwd=pixiw.root,
        env=pixiw.env,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            deadline_s = time.monotonic() + 30
            log = pixiw.root / ".pixiw" / "log.txt"
            while not (log.exists() and "solve default" in log.read_text()):
                assert time.monotonic() < deadline_s, "pixiw did not get to solving"
                time.sleep(0.05)
            (worker,) = psutil.Process(process.pid).children()
            yield process, worker
        finally:
            process.kill()


KEPT = {".gitignore", "cache", "envs", "generations", "host.json", "lock", "log.txt", "state"}


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "stopped; nothing is left half-made\n"), (signal.SIGTERM, 143, "")],
)
def test_stopped_it_says_so_in_one_line_and_leaves_nothing_running(
    pixiw: Pixiw, silent_channel: str, number: signal.Signals, code: int, said: str
) -> None:
    good = pixiw.env["PIXIW_CHANNELS"]
    with _installing(pixiw, silent_channel) as (process, worker):
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (code, said)
        assert not worker.is_running()
    left = {path.name for path in (pixiw.root / ".pixiw").rglob("*") if path.parent.name != "cache"}
    assert {name for name in left if "shards" not in name} == KEPT
    pixiw.env["PIXIW_CHANNELS"] = good
    assert pixiw.out("run", "show") == "1.0\n"


def test_killed_its_working_process_ends_too(pixiw: Pixiw, silent_channel: str) -> None:
    with _installing(pixiw, silent_channel) as (process, worker):
        process.kill()
        process.communicate(timeout=10)
        gone, _ = psutil.wait_procs([worker], timeout=10)
        assert gone == [worker]


def test_a_second_one_waits_and_says_for_whom(pixiw: Pixiw, silent_channel: str) -> None:
    good = pixiw.env["PIXIW_CHANNELS"]
    with _installing(pixiw, silent_channel) as (process, _):
        pixiw.env["PIXIW_CHANNELS"] = good
        with subprocess.Popen(
            pixiw.command("run", "show"),
            cwd=pixiw.root,
            env=pixiw.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as second:
            assert second.stderr is not None
            line = second.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, _ = second.communicate(timeout=60)
    assert line.startswith("waiting for another pixiw: process ")
    assert ", install, since " in line
    assert (second.returncode, out) == (0, "1.0\n")
