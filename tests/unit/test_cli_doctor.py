"""Advice for the fault that it is, in `doctor` and of an address; examples in the help."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_runner_base.cli import run
from ai_runner_base.cli._serving import listen
from ai_runner_base.cli.doctor import Host, _gpu, _workspace
from ai_runner_base.errors import HostError

pytestmark = pytest.mark.unit


def test_an_overridden_driver_that_is_no_version_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "abc")
    host = Host()
    _gpu(host)
    (finding,) = host.findings
    assert not finding.ok
    assert finding.value == "CONDA_OVERRIDE_CUDA=abc is no version"
    assert "12.8" in finding.advice


def test_an_empty_override_hides_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_runner_base.cli.doctor.cuda_driver", lambda: "13.0")
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")
    host = Host()
    _gpu(host)
    assert host.findings[0].value == "no CUDA driver: pipelines run on the CPU"


def test_the_wrapper_is_advised_where_the_workspace_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pixi.toml").write_text("[environments]\nabsent = []\n")
    monkeypatch.setenv("PIXI_PROJECT_MANIFEST", str(tmp_path / "pixi.toml"))
    advice = []
    for _ in range(2):
        host = Host()
        _workspace(host)
        advice.append(host.findings[0].advice)
        (tmp_path / "scripts").mkdir(exist_ok=True)
        (tmp_path / "scripts/pixiw").touch()
    assert [text.split(": ")[1] for text in advice] == [
        "pixi install -e NAME",
        "scripts/pixiw install -e NAME",
    ]


@pytest.mark.parametrize("host", ["192.0.2.77", "no address"])
def test_an_address_of_another_machine_is_no_matter_of_ports(host: str) -> None:
    with pytest.raises(HostError, match="cannot listen on") as caught:
        listen(host, 0)
    assert "--host must be an address of this machine" in caught.value.hint
    assert "while attempting" not in caught.value.message


def test_a_port_that_is_taken_asks_for_another() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(HostError) as caught:
        listen("127.0.0.1", taken.getsockname()[1])
    assert "choose one with --port" in caught.value.hint


@pytest.mark.parametrize("name", ["serve", "install", "service"])
def test_examples_in_help_are_lines_that_can_be_copied(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out.partition("Examples:\n")[2].splitlines()
    assert len([line for line in shown if f"ai-runner {name} " in line]) == len(shown) >= 3
