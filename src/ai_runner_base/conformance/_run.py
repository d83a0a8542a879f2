"""Runs the checks one after the other and collects what was found out."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from .. import __version__
from ..catalog import InstalledPipeline
from ..errors import CallerError, HostError, RunnerError
from ._all import RULES
from ._bench import Bench
from ._options import CheckOptions
from ._outcomes import Broken, Skipped
from ._report import Finding, Outcome, Report
from ._rules import Rule

_CHECK_LIMIT_S = 900.0
"""No check takes longer, whatever a pipeline does."""


def _ignore(finding: Finding) -> None:
    """Nobody listens."""


def _nobody(rule: Rule) -> None:
    """Nobody listens."""


async def check(
    installed: InstalledPipeline,
    options: CheckOptions | None = None,
    *,
    on_begin: Callable[[Rule], None] = _nobody,
    on_finding: Callable[[Finding], None] = _ignore,
) -> Report:
    """Check a pipeline by all rules. No process is left behind, whatever it does.

    :param on_begin: called before each check
    :param on_finding: called after each check
    :raises CallerError: a rule is named that does not exist
    :raises HostError: the pipeline's environment cannot be used
    """
    options = options or CheckOptions()
    _require_known(options)
    if installed.problem:
        raise HostError(f"{installed.name!r} cannot be started: {installed.problem}")
    bench = Bench(installed, options)
    findings: dict[str, Finding] = {}
    try:
        for item in _wanted(options):
            on_begin(item)
            findings[item.name] = await _check(item, bench, findings)
            on_finding(findings[item.name])
    finally:
        await bench.aclose()
    return _report(bench, tuple(findings.values()))


def _require_known(options: CheckOptions) -> None:
    if unknown := sorted((options.only | options.skip) - set(RULES)):
        raise CallerError(f"there is no rule {unknown[0]!r}", hint=f"there are {', '.join(RULES)}")


def _wanted(options: CheckOptions) -> list[Rule]:
    """The rules to check, with those that they need."""
    names = set(options.only or RULES)
    for item in reversed(RULES.values()):
        if item.name in names and item.needs:
            names.add(item.needs)
    return [item for item in RULES.values() if item.name in names]


async def _check(item: Rule, bench: Bench, findings: dict[str, Finding]) -> Finding:
    started_s = time.monotonic()
    outcome, measured, detail = await _outcome(item, bench, findings)
    return Finding(
        item.name, item.text, item.why, outcome, measured, detail, round(time.monotonic() - started_s, 3)
    )


async def _outcome(item: Rule, bench: Bench, findings: dict[str, Finding]) -> tuple[Outcome, str, str]:
    if item.name in bench.options.skip:
        return Outcome.SKIPPED, "left out as asked", ""
    if blocker := _blocker(item, findings):
        return Outcome.SKIPPED, f"needs {blocker}", ""
    try:
        async with asyncio.timeout(_CHECK_LIMIT_S):
            return Outcome.PASS, await item.check(bench), ""
    except Skipped as reason:
        return Outcome.SKIPPED, str(reason), ""
    except Broken as broken:
        return Outcome.FAIL, broken.measured, broken.detail
    except BaseExceptionGroup as group:
        return _from_group(group)
    except TimeoutError:
        return Outcome.FAIL, f"the check was not through after {_CHECK_LIMIT_S:g} s", ""
    except RunnerError as error:
        return Outcome.FAIL, str(error), getattr(error, "remote_traceback", "")


def _blocker(item: Rule, findings: Mapping[str, Finding]) -> str:
    """The broken rule without which there is nothing to check, however far up; empty when there is none."""
    if not item.needs:
        return ""
    if findings[item.needs].outcome is Outcome.FAIL:
        return item.needs
    return _blocker(RULES[item.needs], findings)


def _from_group(group: BaseExceptionGroup[BaseException]) -> tuple[Outcome, str, str]:
    """Both halves of a check may find the same; the first one is told. What is no finding is a fault of ours."""
    broken, rest = group.split(Broken)
    if rest is not None or broken is None:
        raise group
    first: BaseException = broken
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return Outcome.FAIL, str(first), getattr(first, "detail", "")


def _report(bench: Bench, findings: tuple[Finding, ...]) -> Report:
    item = bench.installed
    conda = item.conda
    return Report(
        pipeline=item.name,
        package=conda.name if conda else item.package,
        version=conda.version if conda else item.version,
        quick=bench.options.quick,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        runner_version=__version__,
        python_version=str(bench.description.get("versions", {}).get("python", "")),
        findings=findings,
    )
