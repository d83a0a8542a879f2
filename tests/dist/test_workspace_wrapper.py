"""scripts/pixiw: when real pixi takes over, which Python is taken, and how the private environment is made."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.dist

REPOSITORY = Path(__file__).parents[2]
WRAPPER = REPOSITORY / "scripts" / "pixiw"
BOOTSTRAP = REPOSITORY / "src/ai_runner_base/cli/_pixiw_bootstrap.py"


class Machine:
    """A copy of the wrapper, and a PATH with nothing but what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root / "repo"
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(WRAPPER, self.root / "scripts" / "pixiw")
        cli = self.root / "src/ai_runner_base/cli"
        cli.mkdir(parents=True)
        shutil.copy(BOOTSTRAP, cli)
        (cli / "pixiw.py").write_text(
            "def main():\n    import os, sys\n    print('embedded', os.environ['PIXIW_ROOT'], sys.argv[1:])\n"
        )
        for package in (cli, cli.parent):
            (package / "__init__.py").touch()
        self.requirements = self.root / "scripts" / "pixiw-requirements.txt"
        self.requirements.write_text(f"tiny @ {self._wheel(root)}\n")
        self.env = {"PATH": str(self.bin), "HOME": str(root), "PIP_NO_INDEX": "1"}
        for tool in ("sh", "readlink", "find", "cmp", "mkdir", "sleep", "env", "cat", "touch", "kill"):
            found = shutil.which(tool)
            if found is not None:
                (self.bin / tool).symlink_to(found)

    @staticmethod
    def _wheel(folder: Path) -> str:
        path = folder / "tiny-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("tiny.py", "VALUE = 1\n")
            wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
            wheel.writestr(
                "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr("tiny-1.0.dist-info/RECORD", "")
        return f"{path.as_uri()} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def real_python(self, name: str) -> None:
        """This interpreter, under a name on PATH, as a stand-in that starts it."""
        self.program(name, f'exec "{Path(sys.executable).resolve()}" "$@"')

    def pixi(self, version: str, *, reaches: bool) -> None:
        """A pixi that counts what it is asked."""
        answers = f'--version) echo "pixi {version}" ;; search) exit {0 if reaches else 1} ;; *) echo real pixi "$@"'
        self.program("pixi", f'echo "$1" >> "{self.bin}/asked"\ncase $1 in {answers} ;; esac')

    def asked(self) -> list[str]:
        path = self.bin / "asked"
        return path.read_text().split() if path.exists() else []

    def call(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts" / "pixiw"), *words],
            env=self.env | env, capture_output=True, text=True, timeout=60, check=False, cwd="/",
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_pixi_takes_over_where_it_can_reach_its_channels(machine: Machine) -> None:
    machine.pixi("0.77.0", reaches=True)
    done = machine.call("run", "-e", "noop", "serve", "a b")
    assert (done.stdout, done.stderr) == ("real pixi run -e noop serve a b\n", "")
    assert machine.asked() == ["--version", "search", "run"]
    machine.call("info")
    assert machine.asked() == ["--version", "search", "run", "info"]


def test_what_was_found_is_asked_again_after_a_while_and_for_another_pixi(machine: Machine) -> None:
    machine.pixi("0.77.0", reaches=True)
    machine.call("info")
    memory = machine.root / ".pixiw" / "backend"
    old_s = time.time() - 13 * 3600
    os.utime(memory, (old_s, old_s))
    machine.call("info")
    memory.write_text("embedded /another/pixi\n")
    machine.call("info")
    assert machine.asked().count("search") == 3


@pytest.mark.parametrize(
    ("version", "reaches", "said"),
    [("0.76.9", True, "is older than 0.77"), ("0.77.0", False, "cannot reach its channels")],
)
def test_otherwise_pixiw_stands_in_and_says_why_once(
    machine: Machine, version: str, reaches: bool, said: str
) -> None:
    machine.pixi(version, reaches=reaches)
    machine.real_python("python3.11")
    done = machine.call("info")
    assert done.stdout == f"embedded {machine.root} ['info']\n"
    assert said in done.stderr
    assert machine.call("info").stderr == ""


def test_a_later_major_version_of_pixi_is_new_enough(machine: Machine) -> None:
    machine.pixi("1.0.0", reaches=True)
    assert machine.call("info").stdout == "real pixi info\n"


def test_a_pixi_that_hangs_is_given_up_on(machine: Machine) -> None:
    script = (machine.root / "scripts" / "pixiw").read_text()
    (machine.root / "scripts" / "pixiw").write_text(script.replace("probe_timeout_s=20", "probe_timeout_s=1"))
    machine.program("pixi", 'case $1 in --version) echo "pixi 0.77.0" ;; *) exec sleep 50 ;; esac')
    machine.real_python("python3.12")
    started_s = time.monotonic()
    assert machine.call("info").stdout.startswith("embedded ")
    assert time.monotonic() - started_s < 40


def test_the_choice_can_be_forced(machine: Machine) -> None:
    machine.real_python("python3")
    missing = machine.call("info", PIXIW="pixi")
    assert (missing.returncode, "no pixi on PATH" in missing.stderr) == (5, True)
    machine.pixi("0.1.0", reaches=False)
    assert machine.call("info", PIXIW="pixi").stdout == "real pixi info\n"
    machine.pixi("0.77.0", reaches=True)
    assert machine.call("info", PIXIW="embedded").stdout.startswith("embedded ")
    assert machine.call("info", PIXIW="what").returncode == 2


# ---- which Python

OLD = 'case "$*" in *version_info*) exit 1 ;; esac; exit 99'


def test_the_newest_python_that_works_is_taken(machine: Machine) -> None:
    # python3.13 is a stand-in for a version that is not there, python3.12 cannot install, python3.11 can.
    machine.program("python3.13", 'echo "not installed" >&2; exit 127')
    machine.program(
        "python3.12", 'case "$*" in *ensurepip*) exit 1 ;; *version_info*) exit 0 ;; esac; exit 99'
    )
    machine.real_python("python3.11")
    done = machine.call("info")
    assert done.stdout.startswith("embedded ")
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in done.stderr
    home = (machine.root / ".pixiw" / "bootstrap" / "pyvenv.cfg").read_text()
    assert str(machine.bin) not in home


def test_without_a_python_it_says_what_to_install(machine: Machine) -> None:
    machine.program("python3", OLD)
    done = machine.call("info")
    assert done.returncode == 5
    assert "no Python 3.11, 3.12 or 3.13 on PATH" in done.stderr
    assert "PIXIW_PYTHON" in done.stderr


def test_a_python_without_ensurepip_and_pip_says_what_to_install(machine: Machine) -> None:
    machine.program("python3", 'case "$*" in *ensurepip*) exit 1 ;; *version_info*) exit 0 ;; esac; exit 99')
    done = machine.call("info")
    assert done.returncode == 5
    assert "neither ensurepip nor pip" in done.stderr
    assert "python3-venv" in done.stderr


def test_a_python_can_be_named(machine: Machine) -> None:
    assert machine.call("info", PIXIW_PYTHON=str(Path(sys.executable).resolve())).stdout.startswith(
        "embedded "
    )
    machine.requirements.write_text(machine.requirements.read_text() + "\n")
    wrong = machine.call("info", PIXIW_PYTHON=str(machine.program("old", OLD)))
    assert (wrong.returncode, "is no Python 3.11" in wrong.stderr) == (5, True)


# ---- the private environment


def test_the_environment_is_made_once_and_again_when_the_requirements_change(machine: Machine) -> None:
    machine.real_python("python3")
    first = machine.call("a", "b c")
    assert first.stdout == f"embedded {machine.root} ['a', 'b c']\n"
    assert re.search(r"^pixiw: fetching tiny 1\.0$", first.stderr, re.M)
    assert re.search(r"^pixiw: ready after \d+\.\d s$", first.stderr, re.M)
    assert machine.call("a").stderr == ""
    with machine.requirements.open("a") as file:
        file.write("# changed\n")
    assert "first use" in machine.call("a").stderr
    names = sorted(path.name for path in (machine.root / ".pixiw").iterdir())
    assert names == ["bootstrap", "bootstrap.lock"]


def pack(machine: Machine, says: str) -> None:
    """Make it a repository that `ai-runner new` has made: no source, but the program packed beside the wrapper."""
    shutil.rmtree(machine.root / "src", ignore_errors=True)
    with zipfile.ZipFile(machine.root / "scripts" / "pixiw.pyz", "w") as archive:
        archive.writestr("__main__.py", BOOTSTRAP.read_text())
        for package in ("ai_runner_base", "ai_runner_base/cli"):
            archive.writestr(f"{package}/__init__.py", "")
        program = f"def main():\n    import sys\n    print({says!r}, sys.argv[1:])\n"
        archive.writestr("ai_runner_base/cli/pixiw.py", program)


def test_in_a_repository_of_its_own_the_program_is_unpacked_and_renewed(machine: Machine) -> None:
    machine.real_python("python3")
    pack(machine, "packed")
    assert machine.call("a").stdout == "packed ['a']\n"
    assert machine.call("b").stderr == ""
    pack(machine, "newer")
    done = machine.call("a")
    assert (done.stdout, "first use" in done.stderr) == ("newer ['a']\n", True)


def test_it_lives_where_pixiw_home_says(machine: Machine, tmp_path: Path) -> None:
    machine.real_python("python3")
    machine.call("a", PIXIW_HOME=str(tmp_path / "else where"))
    assert (tmp_path / "else where" / "bootstrap" / "bin" / "python").exists()
    assert not (machine.root / ".pixiw").exists()


def test_the_wrapper_can_be_called_through_a_link(machine: Machine, tmp_path: Path) -> None:
    machine.real_python("python3")
    link = tmp_path / "link"
    link.symlink_to("repo/scripts/pixiw")
    done = subprocess.run(
        [str(link), "x"], env=machine.env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"embedded {machine.root} ['x']\n"


def test_a_file_with_another_hash_is_refused_and_nothing_is_left(machine: Machine) -> None:
    machine.real_python("python3")
    text = machine.requirements.read_text()
    machine.requirements.write_text(re.sub(r"sha256:....", "sha256:0000", text))
    done = machine.call("a")
    assert done.returncode == 5
    assert "pip could not install what pixiw needs" in done.stderr
    assert "HASH" in done.stderr.upper()
    assert [path.name for path in (machine.root / ".pixiw").iterdir()] == ["bootstrap.lock"]


def test_stopped_in_the_middle_nothing_is_left_and_the_next_one_works(
    machine: Machine, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys; sys.argv[0] = sys.argv.pop(1)\n"
        "sys.path.insert(0, str(__import__('pathlib').Path(sys.argv[0]).parent))\n"
        "import _pixiw_bootstrap as b, time\n"
        "b._install = lambda *a: (print('installing', flush=True), time.sleep(60))\n"
        "sys.exit(b.main())\n"
    )
    home = machine.root / ".pixiw"
    command = [sys.executable, str(slow), str(BOOTSTRAP), str(home), str(machine.requirements)]
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "installing\n"
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)
        assert process.returncode == code
        if number == signal.SIGINT:
            assert errors.splitlines()[-1] == "stopped; nothing is left half-made"
            assert [path.name for path in home.iterdir()] == ["bootstrap.lock"]
    machine.real_python("python3")
    assert machine.call("a").stdout.startswith("embedded ")
    assert sorted(path.name for path in home.iterdir()) == ["bootstrap", "bootstrap.lock"]


def test_two_at_once_make_it_once(machine: Machine) -> None:
    machine.real_python("python3")
    command = [str(machine.root / "scripts" / "pixiw"), "x"]
    children = [
        subprocess.Popen(command, env=machine.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    texts = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], texts
    assert sum("ready after" in errors for _, errors in texts) == 1


# ---- held to what stands elsewhere


def test_the_wrapper_asks_for_the_pixi_that_the_manifest_requires() -> None:
    manifest = tomllib.loads((REPOSITORY / "pixi.toml").read_text())
    minor = re.search(r"^min_pixi_minor=(\d+)", WRAPPER.read_text(), re.M)
    assert minor is not None
    assert manifest["workspace"]["requires-pixi"] == f">=0.{minor[1]}"


def test_the_wrapper_takes_the_pythons_that_the_manifest_takes() -> None:
    manifest = tomllib.loads((REPOSITORY / "pixi.toml").read_text())
    minors = re.search(r'^python_minors="([\d ]+)"', WRAPPER.read_text(), re.M)
    assert minors is not None
    numbers = [int(minor) for minor in minors[1].split()]
    assert manifest["workspace"]["dependencies"]["python"] == f">=3.{min(numbers)},<3.{max(numbers) + 1}"
    assert numbers == sorted(numbers, reverse=True)


def test_a_home_that_cannot_be_written_to_is_answered_with_the_way_out() -> None:
    command = [sys.executable, str(BOOTSTRAP), "/sys/no-folder-of-ours", "requirements.txt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 5
    assert "/sys/no-folder-of-ours" in done.stderr
    assert "PIXIW_HOME=/path/to/folder" in done.stderr


def test_every_bootstrap_requirement_is_pinned_with_hashes() -> None:
    text = (REPOSITORY / "scripts" / "pixiw-requirements.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", text[text.index("\nbackports") + 1 :])
    names = {re.split(r"==| ", entry)[0] for entry in entries}
    assert {"click", "jinja2", "packaging", "pip", "py-rattler", "py-rattler-build", "rich"} <= names
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==[0-9.]+( ;[^\\]*)? \\\n", entry), entry
        assert "--hash=sha256:" in entry


def test_the_wrapper_names_no_server() -> None:
    for path in (WRAPPER, BOOTSTRAP, REPOSITORY / "scripts" / "pixiw-requirements.txt"):
        assert "://" not in path.read_text()
