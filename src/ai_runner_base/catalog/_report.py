"""The report that a pipeline's package has brought along: whether it passed `ai-runner check` when it was built."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ._prefixes import site_packages


@dataclass(frozen=True, slots=True)
class ShippedCheck:
    """What the report says, in short.

    :param ok: no rule was broken
    :param quick: with fewer frames and shorter waits
    :param runner_version: of the ai-runner-base that checked it
    """

    ok: bool
    passed: int
    failed: int
    skipped: int
    quick: bool
    runner_version: str

    def __str__(self) -> str:
        counts = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        told = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
        return f"{told} ({'quick check' if self.quick else 'check'} of ai-runner {self.runner_version})"

    def to_json(self) -> dict[str, Any]:
        """Give the form for machines."""
        return asdict(self)


class Registered(Protocol):
    """A pipeline in an environment: an `InstalledPipeline`, or what a worker was started from."""

    @property
    def name(self) -> str:
        """Of the pipeline."""

    @property
    def entry_point(self) -> str:
        """As ``package.module:Name``."""

    @property
    def prefix(self) -> Path:
        """Root of the environment."""


def shipped_check(pipeline: Registered) -> ShippedCheck | None:
    """Read the report of a pipeline; None where its package has none, or none that can be read."""
    path = report_file(pipeline)
    if path is None:
        return None
    try:
        return _summary(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def report_file(pipeline: Registered) -> Path | None:
    """Find the report: beside the module that the entry point names, so that nothing has to be imported."""
    module = pipeline.entry_point.partition(":")[0].split(".")
    for folder in site_packages(pipeline.prefix):
        for parts in (module[:-1], module):
            path = folder.joinpath(*parts, f"{pipeline.name}.check.json")
            if path.is_file():
                return path
    return None


def _summary(report: Mapping[str, Any]) -> ShippedCheck:
    outcomes = Counter(str(finding["outcome"]) for finding in report["findings"])
    return ShippedCheck(
        ok=report["ok"] is True,
        passed=outcomes["pass"],
        failed=outcomes["fail"],
        skipped=outcomes["skipped"],
        quick=bool(report["quick"]),
        runner_version=str(report["runner_version"]),
    )
