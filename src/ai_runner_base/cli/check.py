"""`ai-runner check`: is a pipeline a good citizen? Runs it in its own environment, by all rules, and measures."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ..catalog import Catalog, InstalledPipeline
from ..conformance import CheckOptions, Finding, Outcome, Report, Rule, check
from ..errors import PipelineError
from ._logging import quiet
from ._options import environments_option
from ._workers import find_named

_MARKS = {Outcome.PASS: "[green]✓[/]", Outcome.FAIL: "[red]✗[/]", Outcome.SKIPPED: "[dim]–[/]"}
_NAME_WIDTH = 15


@click.command(name="check")
@click.argument("name", metavar="NAME[@ENVIRONMENT]")
@click.option("--quick", is_flag=True, help="Fewer frames and shorter waits, for the test stage of a recipe.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write it to a file.")
@click.option(
    "--only", multiple=True, metavar="RULE", help="Check this rule, and those it needs; repeatable."
)
@click.option("--skip", multiple=True, metavar="RULE", help="Leave out this rule; repeatable.")
@click.option("--cpu", is_flag=True, help="Hide GPUs from the pipeline.")
@click.option("--load-timeout", type=float, default=180.0, show_default=True, metavar="SECONDS")
@environments_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str,
    quick: bool,
    as_json: bool,
    report: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    cpu: bool,
    load_timeout: float,
    environments: tuple[Path, ...],
) -> int:
    """Check whether a pipeline is a good citizen of a host.

    It is run in its own environment, through a real supervisor. Exit code 0: no rule is broken; 3: one is.
    """
    installed = find_named(Catalog.scan(also=environments), name)
    options = CheckOptions(
        quick=quick, cpu=cpu, only=frozenset(only), skip=frozenset(skip), load_limit_s=load_timeout
    )
    with contextlib.nullcontext() if ctx.obj["verbose"] else quiet():  # misbehaviour is in the findings
        found = _run(installed, options, Console(stderr=as_json))
    if report is not None:
        found.write(report)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    return 0 if found.ok else PipelineError.exit_code


def _run(installed: InstalledPipeline, options: CheckOptions, console: Console) -> Report:
    with console.status("") as status:
        report = asyncio.run(
            check(
                installed,
                options,
                on_begin=lambda rule: _begin(status, rule),
                on_finding=lambda finding: _show(console, finding),
            )
        )
    seconds = sum(finding.seconds for finding in report.findings)
    console.print(f"[bold]{escape(report.pipeline)}[/]: {report.summary} in {seconds:.0f} s", highlight=False)
    return report


def _begin(status: Status, rule: Rule) -> None:
    status.update(f"{rule.name}: {escape(rule.text)}")


def _show(console: Console, finding: Finding) -> None:
    """Print one row; of a broken rule also the rule, the reason for it, and what was seen."""
    head = f"{_MARKS[finding.outcome]} {finding.name:{_NAME_WIDTH}}"
    style = "dim" if finding.outcome is Outcome.SKIPPED else "default"
    console.print(f"{head} [{style}]{escape(finding.measured)}[/]", soft_wrap=True, highlight=False)
    if finding.outcome is not Outcome.FAIL:
        return
    console.print(f"    [bold]{escape(finding.rule)}[/]", soft_wrap=True)
    console.print(f"    {escape(finding.why)}", soft_wrap=True)
    for line in finding.detail.splitlines():
        console.print(f"    [dim]│ {escape(line)}[/]", soft_wrap=True, highlight=False)
