"""What an activated environment exports: the same as conda's, without conda."""

from __future__ import annotations

import json
import os
import time

import pytest

from ai_runner_base.catalog import _activation, activation_environment
from ai_runner_base.errors import HostError

pytestmark = pytest.mark.unit

BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/me", "LANG": "C.UTF-8"}


@pytest.fixture
def prefix(tmp_path):
    path = tmp_path / "envs/studio"
    for folder in (
        "bin",
        "conda-meta",
        "etc/conda/env_vars.d",
        "etc/conda/activate.d",
        "etc/conda/deactivate.d",
    ):
        (path / folder).mkdir(parents=True)
    return path


def test_a_plain_environment_needs_no_shell(prefix, monkeypatch):
    """PATH and conda's own variables are set, everything else is as it was, no process is started."""
    monkeypatch.setattr(_activation.subprocess, "run", None)
    env = activation_environment(prefix, BASE)
    assert env == BASE | {
        "PATH": f"{prefix}/bin:{BASE['PATH']}",
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": "studio",
        "CONDA_SHLVL": "1",
    }
    assert "CONDA_PREFIX" not in BASE


def test_declared_variables(prefix):
    """Packages' files in order of name, then the environment's own; one of them can remove a variable."""
    (prefix / "etc/conda/env_vars.d/b.json").write_text('{"WHO": "b", "CUDA_HOME": "/b"}')
    (prefix / "etc/conda/env_vars.d/a.json").write_text('{"WHO": "a", "COUNT": 3}')
    state = {"env_vars": {"CUDA_HOME": "/state", "LANG": "***unset***"}}
    (prefix / "conda-meta/state").write_text(json.dumps(state))
    env = activation_environment(prefix, BASE)
    assert (env["WHO"], env["COUNT"], env["CUDA_HOME"]) == ("b", "3", "/state")
    assert "LANG" not in env


def test_another_active_environment_is_left_first(prefix, tmp_path):
    """Its bin and its variables go, unless somebody has changed them since."""
    before = tmp_path / "envs/before"
    (before / "conda-meta").mkdir(parents=True)
    (before / "conda-meta/state").write_text('{"env_vars": {"THEIRS": "1", "CHANGED": "1"}}')
    base = BASE | {
        "CONDA_PREFIX": str(before),
        "PATH": f"{before}/bin:{BASE['PATH']}",
        "THEIRS": "1",
        "CHANGED": "2",
    }
    env = activation_environment(prefix, base)
    assert env["PATH"] == f"{prefix}/bin:{BASE['PATH']}"
    assert "THEIRS" not in env
    assert env["CHANGED"] == "2"


def test_the_same_environment_twice_changes_nothing(prefix):
    """Activating an activated environment is harmless."""
    once = activation_environment(prefix, BASE)
    assert activation_environment(prefix, once) == once


def test_scripts_are_sourced_in_one_shell(prefix, tmp_path):
    """In order of name; they see declared variables, may print, set, change and unset."""
    scripts = prefix / "etc/conda/activate.d"
    (prefix / "etc/conda/env_vars.d/a.json").write_text('{"ROOT_DIR": "/opt/x"}')
    (scripts / "1.sh").write_text('echo hello; export FIRST="$ROOT_DIR/lib"\nexport LINES_="a\nb=c"\n')
    (scripts / "2.sh").write_text('export SECOND="${FIRST}64"; unset LANG; not_exported=1\ncd /\n')
    (scripts / "3.fish").write_text("this is no bash")
    env = activation_environment(prefix, BASE | {"SHLVL": "7"})
    assert (env["FIRST"], env["SECOND"], env["LINES_"]) == ("/opt/x/lib", "/opt/x/lib64", "a\nb=c")
    assert env["SHLVL"] == "7"
    assert not {"LANG", "not_exported", "PWD", "OLDPWD", "_"} & set(env)


def test_scripts_of_the_environment_before_are_undone(prefix, tmp_path):
    """Its deactivation scripts run before the new ones."""
    before = tmp_path / "envs/before"
    (before / "etc/conda/deactivate.d").mkdir(parents=True)
    (before / "etc/conda/deactivate.d/x.sh").write_text("unset THEIRS\nexport TRACE=left\n")
    (prefix / "etc/conda/activate.d/x.sh").write_text('export TRACE="$TRACE,entered"\n')
    env = activation_environment(prefix, BASE | {"CONDA_PREFIX": str(before), "THEIRS": "1"})
    assert env["TRACE"] == "left,entered"
    assert "THEIRS" not in env


def test_scripts_run_again_only_when_they_change(prefix, tmp_path):
    """Their effect is remembered by modification time."""
    log = tmp_path / "log"
    script = prefix / "etc/conda/activate.d/x.sh"
    script.write_text(f"echo run >> {log}\nexport WHO=first\n")
    assert [activation_environment(prefix, BASE)["WHO"] for _ in range(3)] == ["first"] * 3
    assert log.read_text().count("run") == 1
    script.write_text("export WHO=second\n")
    os.utime(script, (time.time() + 5, time.time() + 5))
    assert activation_environment(prefix, BASE)["WHO"] == "second"


@pytest.mark.parametrize("script", ["exit 3", "sleep 20", "echo reason >&2; exec false"])
def test_a_script_that_fails_or_hangs_is_named(prefix, monkeypatch, script):
    """Within the deadline, with what it said."""
    monkeypatch.setattr(_activation, "SCRIPT_TIMEOUT_S", 0.5)
    path = prefix / "etc/conda/activate.d/bad.sh"
    path.write_text(script + "\n")
    with pytest.raises(HostError, match=r"activation scripts .*bad\.sh failed") as caught:
        activation_environment(prefix, BASE)
    assert ("reason" in caught.value.hint) is ("reason" in script)


@pytest.mark.parametrize("content", ["{", "[1]", "\udcff".encode(errors="surrogateescape").decode("latin-1")])
def test_a_damaged_file_is_named(prefix, content):
    """Which file, and what to do."""
    path = prefix / "etc/conda/env_vars.d/torn.json"
    path.write_text(content)
    with pytest.raises(HostError, match=r"torn\.json.*make the environment again"):
        activation_environment(prefix, BASE)
