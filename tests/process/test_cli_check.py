"""`ai-runner check`: what it prints, the report file, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests._support.prefixes import PIPELINES, SamplePipeline, make_prefix

from ai_runner_base.cli import cli
from ai_runner_base.conformance import RULES, Report

pytestmark = pytest.mark.process

BAD = PIPELINES / "bad_citizens"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = [
        SamplePipeline("vague", "bad_citizens:Vague", BAD),
        SamplePipeline("citizen", "bad_citizens:Citizen", BAD),
    ]
    return make_prefix(tmp_path_factory.mktemp("check"), samples)


def run(prefix: Path, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(
        cli, ["check", *words, "--quick", "--environments", str(prefix)], standalone_mode=False
    )
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout, done.stderr


def test_a_broken_rule_is_told_with_its_reason_and_the_exit_code_is_3(prefix: Path, tmp_path: Path) -> None:
    code, said, _ = run(prefix, "vague", "--only", "schema", "--report", str(tmp_path / "r.json"))
    assert code == 3
    assert RULES["schema"].text in " ".join(said.split())
    assert "1 failed" in said
    written = Report.from_json(json.loads((tmp_path / "r.json").read_text()))
    assert (written.pipeline, written.quick, written.ok) == ("vague", True, False)


def test_json_is_alone_on_standard_output(prefix: Path) -> None:
    code, said, told = run(prefix, "citizen", "--only", "schema", "--json")
    report = json.loads(said)
    assert (code, report["ok"]) == (0, True)
    assert {"name", "schema"} & {finding["name"] for finding in report["findings"]}
    assert "passed" in told
