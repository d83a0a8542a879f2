"""`pixiw install`, `list`, `info`, `shell-hook` and `clean`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..errors import CallerError
from ..workspace import (
    find_environment,
    known_environments,
    ready,
    remove_environment,
    resolve,
    runnable_platform,
    supported_platforms,
    tasks,
)
from ._pixiw_session import Freshness, Session


def install_environments(
    session: Session, environments: Sequence[str], freshness: Freshness, *, everything: bool
) -> None:
    """Make environments ready: the named ones, all that run here, or the default one."""
    if everything and environments:
        raise CallerError("--all and --environment exclude each other")
    names = list(environments) or ["default"]
    if everything:
        manifest = session.manifest
        candidates = manifest.environments.values()
        names = [found.name for found in candidates if runnable_platform(manifest, found, session.host)]
        for skipped in manifest.environments.keys() - set(names):
            session.say(f"environment {skipped}: not for this host, left out")
    for name, (_, prepared) in session.prepare(names, freshness).items():
        session.say(f"environment {name} is ready: {prepared.prefix}")


def list_packages(
    session: Session, environment: str, freshness: Freshness, pattern: str, *, explicit: bool, as_json: bool
) -> None:
    """Print the packages of an environment."""
    plan, prepared = session.prepare([environment], freshness)[environment]
    asked = {spec.split()[0] for spec in plan.specs}
    try:
        matches = re.compile(pattern).search
    except re.error as error:
        raise CallerError(f"{pattern!r} is no regular expression: {error}") from error
    rows = [
        row
        for row in _packages(prepared.generation, asked)
        if matches(row["name"]) and (row["explicit"] or not explicit)
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    widths = [max((len(row[key]) for row in rows), default=0) for key in ("name", "version", "build")]
    for row in rows:
        mark = "*" if row["explicit"] else " "
        cells = (row["name"], row["version"], row["build"])
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        click.echo(f"{mark} {text}  {row['size_bytes'] / 1e6:8.2f} MB")


def _packages(generation: Path, asked: set[str]) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(generation.glob("conda-meta/*.json")):
        record = json.loads(path.read_bytes())
        paths = record.get("paths_data", {}).get("paths", [])
        row = {key: record[key] for key in ("name", "version", "build", "subdir", "url")}
        size_bytes = sum(item.get("size_in_bytes") or 0 for item in paths)
        rows.append({**row, "size_bytes": size_bytes, "explicit": record["name"] in asked})
    return rows


def show_info(session: Session, *, as_json: bool) -> None:
    """Print what decides how environments turn out here."""
    manifest, host = session.manifest, session.host
    found = {
        "pixiw": __version__,
        "workspace": manifest.name,
        "manifest": str(manifest.path),
        "home": str(session.home.root),
        "subdir": host.subdir,
        "virtual_packages": dict(sorted(host.virtual_packages.items())),
        "channels": os.environ.get("PIXIW_CHANNELS", "").split() or ["built and mirrored here"],
        "environments": {name: _environment_info(session, name) for name in manifest.environments},
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            click.echo(f"{key.replace('_', ' ')}:")
            for name, part in value.items():
                click.echo(f"  {name}: {part if isinstance(part, str) else _one_line(part)}")
        else:
            click.echo(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


def _environment_info(session: Session, name: str) -> dict[str, Any]:
    manifest = session.manifest
    environment = find_environment(manifest, name)
    platform = runnable_platform(manifest, environment, session.host)
    found: dict[str, Any] = {
        "platforms": [candidate.name for candidate in supported_platforms(manifest, environment)],
        "platform": platform.name if platform is not None else None,
        "features": [
            feature.name for feature in environment.features if not feature.name.startswith("environment ")
        ],
        "state": "not for this host",
    }
    if platform is None:
        return found
    plan = resolve(manifest, name, session.host)
    prepared = ready(plan, session.home, frozen=True)
    found["dependencies"] = list(plan.specs)
    found["tasks"] = [task.name for task in tasks(environment, platform).values() if not task.hidden]
    if prepared is None:
        found["state"] = "not installed"
    else:
        found["state"] = "ready" if ready(plan, session.home) is not None else "out of date"
        found |= {
            "prefix": str(prepared.prefix),
            "packages": prepared.packages,
            "size_bytes": prepared.size_bytes,
        }
    return found


def _one_line(environment: dict[str, Any]) -> str:
    where = environment["platform"] or "needs " + " or ".join(environment["platforms"])
    text = f"{environment['state']}, {where}, features {' '.join(environment['features'])}"
    if "packages" in environment:
        text += f", {environment['packages']} packages, {environment['size_bytes'] / 1e6:.0f} MB"
    return text


def print_shell_hook(
    session: Session, environment: str, freshness: Freshness, shell: str, *, as_json: bool
) -> None:
    """Print the variables of an activated environment as shell text or as JSON."""
    prepared = session.prepare([environment], freshness)
    variables = session.runner(prepared).variables(environment, {})
    changed = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    removed = [name for name in os.environ if name not in variables]
    if as_json:
        click.echo(json.dumps({"environment_variables": changed}, indent=2))
        return
    for name in removed:
        click.echo(f"set -e {name};" if shell == "fish" else f"unset {name}")
    for name, value in changed.items():
        click.echo(_export(name, value, shell))


def _export(name: str, value: str, shell: str) -> str:
    if shell == "fish":
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        if name == "PATH":
            return "set -gx PATH " + " ".join(f"'{part}'" for part in escaped.split(":")) + ";"
        return f"set -gx {name} '{escaped}';"
    return f"export {name}={shlex.quote(value)}"


def clean_up(session: Session, environment: str | None, what: str) -> None:
    """Remove environments, packages, or both; waits for others that are at work."""
    home = session.home
    if environment is not None and what != "environments":
        raise CallerError("--environment goes with environments only")
    if not home.root.exists():
        return
    with home.locked("clean", session.say):
        if what in ("environments", "all"):
            for name in [environment] if environment is not None else known_environments(home):
                remove_environment(home, name)
                session.say(f"removed environment {name}")
        if what in ("cache", "all"):
            for folder in (home.channel, home.cache):
                shutil.rmtree(folder, ignore_errors=True)
                session.say(f"removed {folder}")
            (home.root / "state" / "verified.json").unlink(missing_ok=True)
