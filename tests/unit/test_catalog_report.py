"""The report in a pipeline's package: found beside the module, told in short, and no trouble when it is bad."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ai_runner_base.catalog import InstalledPipeline, report_file, shipped_check
from ai_runner_base.conformance import Finding, Outcome, Report

pytestmark = pytest.mark.unit

OUTCOMES = {"name": Outcome.PASS, "load": Outcome.FAIL, "frames": Outcome.SKIPPED, "stop": Outcome.PASS}


def pipeline(prefix: Path, entry_point: str = "shades.grey:Grey") -> InstalledPipeline:
    (prefix / "lib/python3.11/site-packages/shades").mkdir(parents=True, exist_ok=True)
    return InstalledPipeline("grey", entry_point, "shades", "1.0", prefix, "env")


def report() -> Report:
    findings = [
        Finding(name, "rule", "why", outcome, "12 ms", "at x", 0.5) for name, outcome in OUTCOMES.items()
    ]
    return Report("grey", "shades", "1.0", True, "Linux", "2026-01-01", "0.1.0", "3.11", tuple(findings))


def ship(folder: Path, content: str) -> Path:
    path = folder / "lib/python3.11/site-packages/shades/grey.check.json"
    path.write_text(content)
    return path


def test_what_a_package_ships_is_told_in_short(tmp_path: Path) -> None:
    item = pipeline(tmp_path)
    assert (report_file(item), shipped_check(item)) == (None, None)
    path = ship(tmp_path, json.dumps(report().for_package()))
    assert report_file(item) == path
    assert report_file(pipeline(tmp_path, "shades:Grey")) == path
    found = shipped_check(item)
    assert found is not None
    assert str(found) == "2 passed, 1 failed, 1 skipped (quick check of ai-runner 0.1.0)"
    assert found.ok is False


def test_what_is_shipped_does_not_differ_from_one_run_to_the_next() -> None:
    shipped = report().for_package()
    assert (shipped["date"], shipped["machine"]) == ("", "")
    assert {(f["measured"], f["detail"], f["seconds"]) for f in shipped["findings"]} == {("", "", 0.0)}
    assert Report.from_json(shipped).count(Outcome.PASS) == 2
    assert Report.from_json(report().to_json()) == report()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"findings": [{}]}', '{"findings": 3}'])
def test_a_report_that_cannot_be_read_counts_as_none(tmp_path: Path, content: str) -> None:
    item = pipeline(tmp_path)
    ship(tmp_path, content)
    assert shipped_check(item) is None
