"""The variables of an activated environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests._support.manifests import CPU, manifest

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.workspace import EnvironmentPlan, resolve
from ai_runner_base.workspace._activation import (
    Activated,
    capture_activation,
    environment_variables,
    fixed_variables,
)

pytestmark = pytest.mark.unit


def plan(tmp_path: Path, text: str = "") -> EnvironmentPlan:
    return resolve(manifest(tmp_path, text), "default", CPU)


def test_without_scripts_no_shell_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    prefix = tmp_path / "env"
    (prefix / "etc/conda/env_vars.d").mkdir(parents=True)
    (prefix / "etc/conda/env_vars.d/a.json").write_text('{"A": "1"}')
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": {"B": "2"}}))
    found = capture_activation(plan(tmp_path), prefix, tmp_path)
    assert found == Activated((str(prefix / "bin"),), {"A": "1", "B": "2"})


def test_what_scripts_change_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONE", "x")
    monkeypatch.setenv("KEPT", "x")
    prefix = tmp_path / "env"
    scripts = prefix / "etc/conda/activate.d"
    scripts.mkdir(parents=True)
    (scripts / "b.sh").write_text('export ORDER="$ORDER b"\n')
    (scripts / "a.sh").write_text('export ORDER="a" FROM="$CONDA_PREFIX"\nunset GONE\n')
    (tmp_path / "own.sh").write_text(
        'export ORDER="$ORDER own"\nexport PATH="/front:$PATH"\nhelper() { :; }\n'
    )
    found = capture_activation(plan(tmp_path, '[activation]\nscripts = ["own.sh"]\n'), prefix, tmp_path)
    assert found.variables == {"ORDER": "a b own", "FROM": str(prefix)}
    assert found.removed == ("GONE",)
    assert found.path == ("/front", str(prefix / "bin"))
    assert Activated.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_script_that_fails_or_is_missing_is_named(tmp_path: Path) -> None:
    wanted = plan(tmp_path, '[activation]\nscripts = ["own.sh"]\n')
    with pytest.raises(CallerError, match=r"activation script own\.sh is not there"):
        capture_activation(wanted, tmp_path / "env", tmp_path)
    (tmp_path / "own.sh").write_text("echo oops >&2\nfalse\n")
    with pytest.raises(HostError, match=r"own\.sh.*oops"):
        capture_activation(wanted, tmp_path / "env", tmp_path)


def test_the_order_of_precedence() -> None:
    outside = {
        "A": "outside",
        "B": "outside",
        "C": "outside",
        "D": "outside",
        "E": "outside",
        "PATH": "/usr/bin",
    }
    activated = Activated(("/env/bin",), {"C": "script", "D": "script", "E": "script"}, ("A",))
    layers = ({"D": "manifest", "E": "manifest", "F": "${C}+$D+$NONE"}, {"E": "task $E"})
    found = environment_variables(activated, outside, {"B": "fixed", "C": "fixed"}, *layers)
    assert found == {
        "B": "fixed",
        "C": "script",
        "D": "manifest",
        "E": "task manifest",
        "F": "script+manifest+",
        "PATH": "/env/bin:/usr/bin",
    }


def test_tasks_know_where_they_are_by_pixis_names(tmp_path: Path) -> None:
    found = manifest(tmp_path, "[environments]\nother = []\n")
    fixed = fixed_variables(found, resolve(found, "other", CPU), Path("/p"), Path("/here"))
    assert fixed == {
        "CONDA_PREFIX": "/p",
        "CONDA_DEFAULT_ENV": "demo:other",
        "CONDA_SHLVL": "1",
        "PIXI_PROJECT_ROOT": str(tmp_path),
        "PIXI_PROJECT_NAME": "demo",
        "PIXI_PROJECT_MANIFEST": str(tmp_path / "pixi.toml"),
        "PIXI_PROJECT_VERSION": "NO_VERSION_SPECIFIED",
        "PIXI_ENVIRONMENT_NAME": "other",
        "PIXI_ENVIRONMENT_PLATFORMS": "linux-64-cuda,linux-64",
        "PIXI_PROMPT": "(demo:other) ",
        "PIXI_IN_SHELL": "1",
        "INIT_CWD": "/here",
    }
