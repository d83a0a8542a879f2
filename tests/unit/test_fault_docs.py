"""Every kind of fault stands in the operators' table, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_runner_base.stream import _faults, stream

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_operators_table_has_every_kind_of_fault() -> None:
    section = PAGE.read_text().split("## When something goes wrong")[1].split("\n## ")[0]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("| ")][1:]
    documented = {kind for row in rows for kind in re.findall(r"`(\w+)`", row[4])}
    told = set(_faults._WORDS)
    counted = set(re.findall(r'faults\.add\("(\w+)"', Path(stream.__file__).read_text()))
    assert documented == told | counted | {"ai_runner_log_lines_lost_total"}
    assert len(rows) > 20
