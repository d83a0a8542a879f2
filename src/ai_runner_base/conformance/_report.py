"""What was found out about a pipeline: a table for people, JSON for machines, a file for the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import CallerError

FORMAT = 1


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, checked.

    :param name: of the rule
    :param rule: the rule as a sentence
    :param why: the reason for it
    :param outcome: pass, fail or skipped
    :param measured: the value that was found, or the reason for skipping
    :param detail: more for the author; may have several lines
    :param seconds: what the check took
    """

    name: str
    rule: str
    why: str
    outcome: Outcome
    measured: str
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found out about a pipeline.

    :param pipeline: its name
    :param package: its package and `version`
    :param quick: with fewer frames and shorter waits
    :param machine: what it was checked on, such as ``Linux x86_64, 8 CPUs``
    :param date: ISO 8601, UTC
    :param runner_version: of ai-runner-base
    """

    pipeline: str
    package: str
    version: str
    quick: bool
    machine: str
    date: str
    runner_version: str
    python_version: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """No rule is broken."""
        return not self.count(Outcome.FAIL)

    def count(self, outcome: Outcome) -> int:
        """How many checks ended so."""
        return sum(finding.outcome is outcome for finding in self.findings)

    @property
    def summary(self) -> str:
        """The outcome in a few words."""
        counts = {
            "passed": self.count(Outcome.PASS),
            "failed": self.count(Outcome.FAIL),
            "skipped": self.count(Outcome.SKIPPED),
        }
        return ", ".join(f"{number} {word}" for word, number in counts.items() if number)

    def to_json(self) -> dict[str, Any]:
        """Give the form that is written to a file."""
        return {"format": FORMAT, "ok": self.ok, **asdict(self)}

    def for_package(self) -> dict[str, Any]:
        """Give the form that a package ships: without date, machine and what else differs from one run to the next.

        So the same source makes the same package; when and where it was checked is said by its provenance.
        """
        findings = [
            {**asdict(finding), "measured": "", "detail": "", "seconds": 0.0} for finding in self.findings
        ]
        return {**self.to_json(), "machine": "", "date": "", "findings": findings}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Read what `to_json` gave.

        :raises CallerError: it is something else
        """
        if data.get("format") != FORMAT:
            raise CallerError(f"a report of format {data.get('format')!r}; this program reads {FORMAT}")
        fields = {name: data[name] for name in cls.__slots__ if name != "findings"}
        findings = (Finding(**{**item, "outcome": Outcome(item["outcome"])}) for item in data["findings"])
        return cls(**fields, findings=tuple(findings))

    def write(self, path: Path) -> None:
        """Write the report to a file, at once or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(
            json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        temporary.replace(path)
