"""The systemd unit: what it says, that systemd understands it, and what `install` and `uninstall` do with it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ai_runner_base.cli import run
from ai_runner_base.cli._unit import MARK, Unit

pytestmark = pytest.mark.unit

ANALYZE = shutil.which("systemd-analyze")
COMMAND = (sys.executable, "serve", "--pipeline", 'a"$b%c', "--host", "::1", "with space")


def unit(**more: object) -> Unit:
    values = {
        "name": "ai-runner-x",
        "command": COMMAND,
        "prefix": Path(sys.prefix),
        "environment_file": Path("/e f"),
    }
    return Unit(**(values | more))  # type: ignore[arg-type]  # named fields, given as data


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
        found.setdefault(key, []).append(value)
    return found


def test_a_system_unit_tells_when_it_is_ready_restarts_and_is_confined() -> None:
    said = settings(unit().render())
    assert said["Type"] == ["notify"]
    assert (said["Restart"], said["RestartPreventExitStatus"]) == (["on-failure"], ["2"])
    assert said["KillMode"] == ["mixed"]
    assert said["StandardError"] == ["journal"]
    assert said["DynamicUser"] == ["yes"]
    assert (said["ProtectSystem"], said["CapabilityBoundingSet"]) == (["strict"], [""])
    assert said["WantedBy"] == ["multi-user.target"]
    assert "PrivateDevices" not in said
    assert "ProtectClock" not in said, "it would hide the GPU"
    assert said["EnvironmentFile"] == ["-/e f"]


def test_words_reach_the_runner_as_they_are() -> None:
    assert settings(unit().render())["ExecStart"] == [
        f'{sys.executable} serve --pipeline "a\\"$$b%%c" --host ::1 "with space"'
    ]


def test_gpus_user_and_folders_are_chosen() -> None:
    said = settings(unit(gpus="0,1", run_as="media", writable=(Path("/srv/a b"),)).render())
    assert "AI_RUNNER_GPUS=0,1" in said["Environment"]
    assert (said["User"], said["ReadWritePaths"]) == (["media"], ['"/srv/a b"'])
    assert "DynamicUser" not in said
    without = settings(unit(gpus="none").render())
    assert without["PrivateDevices"] == ["yes"]
    assert "CUDA_VISIBLE_DEVICES=" in without["Environment"]


def test_a_unit_of_ones_own_asks_for_nothing_that_needs_root() -> None:
    said = settings(unit(user_unit=True).render())
    assert said["WantedBy"] == ["default.target"]
    assert not {"User", "DynamicUser", "ProtectSystem", "CapabilityBoundingSet"} & set(said)
    assert said["NoNewPrivileges"] == ["yes"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("more", [{}, {"gpus": "none"}, {"run_as": "root", "writable": (Path("/tmp"),)}])
def test_systemd_understands_every_line(tmp_path: Path, more: dict[str, object]) -> None:
    path = tmp_path / "ai-runner-x.service"
    path.write_text(unit(**more).render())
    done = subprocess.run(
        [str(ANALYZE), "verify", str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ai-runner-x" not in done.stderr, done.stderr


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` that writes down what it is asked."""
    log = tmp_path / "asked"
    program = tmp_path / "bin/systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return log


def test_it_is_installed_enabled_started_and_removed_again(tmp_path: Path, systemctl: Path) -> None:
    assert run(["service", "install", "--user", "--name", "x", "--", "--port", "0"]) == 0
    path = tmp_path / "config/systemd/user/x.service"
    assert path.read_text().startswith(MARK)
    assert settings(path.read_text())["ExecStart"][0].endswith("serve --port 0")
    assert systemctl.read_text().splitlines() == [
        "--user show --property=Version",
        "--user daemon-reload",
        "--user enable x.service",
        "--user restart x.service",
    ]
    assert run(["service", "uninstall", "--user", "--name", "x"]) == 0
    assert not path.exists()
    assert systemctl.read_text().splitlines()[4:] == [
        "--user disable --now x.service",
        "--user daemon-reload",
    ]


def test_without_a_systemd_that_answers_no_unit_is_left(
    tmp_path: Path, systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho not booted >&2; exit 1\n")
    assert run(["service", "install", "--user", "--name", "x"]) == 5
    assert not (tmp_path / "config").exists()
    said = capsys.readouterr().err
    assert "not booted" in said
    assert "--no-start" in said


def test_show_touches_nothing(tmp_path: Path, systemctl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["service", "show", "--user", "--name", "x"]) == 0
    assert capsys.readouterr().out.startswith(MARK)
    assert not systemctl.exists()
    assert not (tmp_path / "config").exists()


def test_units_of_others_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.service").write_text("[Unit]\n")
    words = ["--name", "x", "--unit-dir", str(tmp_path), "--no-start"]
    assert run(["service", "install", *words]) == 2
    assert run(["service", "uninstall", *words]) == 2
    assert (tmp_path / "x.service").read_text() == "[Unit]\n"
    assert "was not made by" in capsys.readouterr().err


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["--name", "x", "--unit-dir", str(tmp_path)]
    assert run(["service", "install", *words]) == 5, "no systemctl"
    assert run(["service", "uninstall", *words]) == 2, "no unit"
    assert run(["service", "show", "-e", "no-such-environment"]) == 2
    assert list(tmp_path.iterdir()) == []
