"""Check what was just built as it will be installed, and put the report into the package."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..catalog import Catalog
from ..channel import Built, Package, PackagedPipeline, build, read_package, with_files
from ..conformance import CheckOptions, Outcome, Report, check
from ..errors import PipelineError
from ..workspace import Home
from ._logging import quiet

if TYPE_CHECKING:
    from ..workspace import Reporter
    from .build_packages import BuildPlan


class Inspector:
    """Installs packages into a folder that is thrown away, checks their pipelines there, and writes it into them.

    :param home: where environments and the cache of this run lie
    """

    def __init__(self, home: Home, options: CheckOptions, reporter: Reporter) -> None:
        self._home, self._options, self._reporter = home, options, reporter

    @classmethod
    @contextlib.contextmanager
    def opened(cls, options: CheckOptions, reporter: Reporter) -> Iterator[Inspector]:
        """Give one that leaves nothing behind."""
        with tempfile.TemporaryDirectory(prefix="ai-runner-check-") as folder:
            yield cls(Home.beside(Path(folder) / "envs"), options, reporter)

    def finish(self, package: Package, channels: Sequence[str]) -> Package:
        """Give the package with the reports on its pipelines in it; one that brings none stays as it is.

        :param channels: where it and all that it needs can be had, in order of priority
        :raises PipelineError: a rule is broken; says which
        """
        found = read_package(package.path)
        if not found.pipelines:
            return package
        prefix = self._install(f"{found.name} =={found.version}", found.name, channels)
        reports = {pipeline.report_path: self._check(pipeline, prefix) for pipeline in found.pipelines}
        return Package(with_files(package.path, reports, package.path))

    def _install(self, spec: str, name: str, channels: Sequence[str]) -> Path:
        from ..workspace import Installer

        def accept(generation: Path) -> None:
            """The check says more than a start test would."""

        return Installer(self._home, name, self._reporter, accept).install([spec], channels).prefix

    def _check(self, pipeline: PackagedPipeline, prefix: Path) -> bytes:
        installed = Catalog.scan([prefix]).find(pipeline.name)
        with self._reporter.step("check", pipeline.name):
            with quiet():
                report = asyncio.run(check(installed, self._options))
            require_passed(report)
        return json.dumps(report.for_package(), indent=1).encode() + b"\n"


def build_checked(plan: BuildPlan, output: Path, reporter: Reporter, options: CheckOptions | None) -> Built:
    """Build and test recipes into a channel, with the reports on their pipelines in the packages.

    A package with a report has another build string than one without, so that none takes the other's place.

    :param options: how to check; None does not, and runs no tests either
    """
    if options is None:
        return build(plan.folders, output, plan.channels, reporter, virtual_packages=plan.virtual_packages)
    with Inspector.opened(options, reporter) as inspector:
        return build(
            plan.folders,
            output,
            plan.channels,
            reporter,
            virtual_packages=plan.virtual_packages,
            run_tests=True,
            fingerprint="checked",
            finish=inspector.finish,
        )


def require_passed(report: Report) -> None:
    """Refuse a pipeline that broke a rule.

    :raises PipelineError: names the rules, and what was measured
    """
    broken = [finding for finding in report.findings if finding.outcome is Outcome.FAIL]
    if broken:
        told = "\n".join(f"  {item.name}: {item.rule} ({item.measured})" for item in broken)
        raise PipelineError(
            f"{report.pipeline} is no good citizen of a host: {report.summary}\n{told}",
            hint=f"see what happens with: ai-runner check {report.pipeline}",
            remote_traceback="\n".join(item.detail for item in broken),
        )
