"""The tables of `docs/channel.md` are what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from ai_runner_base.channel import names, versions

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs" / "channel.md").read_text()


def rows(heading: str) -> list[tuple[str, ...]]:
    """Give the rows of the first table below a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("|")][2:]
    return [tuple(cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in lines]


def test_the_names() -> None:
    table = rows("Names")
    assert len(table) > 10
    assert [(pypi, names.to_conda(pypi)) for pypi, _ in table] == table


def test_the_versions() -> None:
    table = rows("Versions")
    assert len(table) > 6
    assert [(pep440, versions.to_conda(SpecifierSet(pep440))) for pep440, _ in table] == table


def test_every_limit_says_what_happens() -> None:
    table = rows("Limits, and the ways out")
    assert len(table) > 6
    assert all(what and happens for what, happens, _ in table)


def test_what_is_named_as_refused_is() -> None:
    first = rows("Limits, and the ways out")[0][0]
    named = re.findall(r"`([a-z-]+)`", first.replace("cuda-*", ""))
    assert named
    assert all(names.is_conda_only(name) for name in named)
