"""`ai-runner pipelines`: what is installed, in which environment, from which package, with which parameters."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..catalog import Catalog, InstalledPipeline, ShippedCheck, describe, shipped_check
from ..errors import RunnerError
from ._options import environments_option
from ._speeds import BUSY, Speeds

_AT_ONCE = 2


@click.command(name="pipelines")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option(
    "--no-params", is_flag=True, help="Read package metadata only; starts no pipeline's interpreter."
)
@click.option(
    "--measure", is_flag=True, help="Measure first how fast each is on this host, one after the other."
)
@environments_option
def command(as_json: bool, no_params: bool, measure: bool, environments: tuple[Path, ...]) -> None:
    """List the installed pipelines, their parameters, and how fast they are here as far as it was measured.

    Each pipeline is asked in its own environment; one that is broken is reported and hides no other.
    """
    catalog = Catalog.scan(also=environments)
    if measure:
        asyncio.run(_measure(catalog))
    entries = [_entry(item) for item in catalog.pipelines] if no_params else _described(catalog)
    problems = [str(problem) for problem in catalog.problems]
    if as_json:
        click.echo(json.dumps({"pipelines": entries, "problems": problems}, indent=2))
    else:
        _print(entries, problems)


async def _measure(catalog: Catalog) -> None:
    for item in catalog.pipelines:
        if item.problem is None:
            click.echo(f"measuring {item.name} in {item.environment}", err=True)
            try:
                await Speeds().measure(item)
            except RunnerError as error:
                click.echo(f"  {error}", err=True)


def _entry(item: InstalledPipeline) -> dict[str, Any]:
    conda, speed = item.conda, Speeds().of(item)
    checked = shipped_check(item)
    return {
        "name": item.name,
        "environment": item.environment,
        "prefix": str(item.prefix),
        "package": conda.name if conda else item.package,
        "version": conda.version if conda else item.version,
        "build": conda.build if conda else None,
        "channel": conda.channel if conda else None,
        "entry_point": item.entry_point,
        "speed": asdict(speed) if speed else None,
        "check": checked.to_json() if checked else None,
        "problem": item.problem,
    }


def _described(catalog: Catalog) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_describe, catalog.pipelines))


def _describe(item: InstalledPipeline) -> dict[str, Any]:
    entry = _entry(item) | {"params_schema": None, "default_params": None}
    if item.problem:
        return entry
    try:
        answer = describe(item, os.environ)
    except RunnerError as error:
        return entry | {"problem": str(error)}
    return entry | {key: answer[key] for key in ("params_schema", "default_params")}


def _print(entries: list[dict[str, Any]], problems: list[str]) -> None:
    console = Console()
    if not entries:
        console.print("no pipeline is installed; install a pipeline's package, e.g. ai-runner-effects")
    for entry in entries:
        console.print(
            f"[bold]{entry['name']}[/]  {entry['package']} {entry['version']}  in [cyan]{entry['environment']}[/]"
        )
        if speed := entry["speed"]:
            console.print(f"  {_holds(speed)}")
        if entry["problem"]:
            console.print(f"  [red]cannot be used:[/] {escape(entry['problem'])}")
        if entry["check"]:
            checked = ShippedCheck(**entry["check"])
            console.print(f"  [{'green' if checked.ok else 'red'}]{escape(str(checked))}[/]", highlight=False)
        if entry.get("params_schema"):
            console.print(_parameters(entry["params_schema"]))
    for problem in problems:
        console.print(f"[yellow]problem:[/] {escape(problem)}")


def _holds(speed: Mapping[str, Any]) -> str:
    busy = f", measured while others used {speed['others']:.0%} of the processors"
    text = f"holds {speed['fps']:.0f} fps at {speed['width']}x{speed['height']} here"
    return text + (busy if speed["others"] > BUSY else "")


def _parameters(schema: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, prop in schema.get("properties", {}).items():
        table.add_row(
            f"  {name}", _range(prop), str(prop.get("default", "")), escape(prop.get("description", ""))
        )
    return table


def _range(prop: Mapping[str, Any]) -> str:
    if "enum" in prop:
        return " | ".join(map(str, prop["enum"]))
    low, high = prop.get("minimum"), prop.get("maximum")
    kind = str(prop.get("type", ""))
    span = f"{low:g} … {high:g}" if low is not None and high is not None else kind
    return f"{span} {prop.get('unit', '')}".strip()
