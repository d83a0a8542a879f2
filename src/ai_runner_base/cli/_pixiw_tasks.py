"""`pixiw run` and `pixiw task list`."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence

import click

from ..errors import CallerError
from ..workspace import Task, TaskGraph, find_environment, runnable_platform, tasks
from ._pixiw_session import Freshness, Session

_NAME_WIDTH = 24


def run_words(
    session: Session,
    words: Sequence[str],
    environment: str | None,
    freshness: Freshness,
    *,
    executable: bool,
    skip_deps: bool,
    dry_run: bool,
) -> int:
    """Run a task with what it depends on, or a program; the last command replaces this process."""
    words = words[1:] if words[0] == "--" else words
    if not words:
        raise CallerError("there is nothing to run behind --")
    graph = TaskGraph(session.manifest, session.host, environment, session.cwd)
    jobs = [graph.command(words)] if executable else graph.jobs(words)
    jobs = jobs[-1:] if skip_deps else jobs
    if dry_run:
        for job in jobs:
            click.echo(f"{job.label} ({job.environment}): {job.command or 'only what it depends on'}")
        return 0
    needed = [job.environment for job in jobs if job.command is not None]
    prepared = session.prepare(needed, freshness)
    return session.runner(prepared).run(jobs)


def list_tasks(session: Session, environment: str | None, *, as_json: bool) -> None:
    """Print the tasks that can run on this host, like a menu."""
    found = _runnable_tasks(session, environment)
    if as_json:
        click.echo(json.dumps([_as_data(task, names) for task, names in found.values()], indent=2))
        return
    width = min(_NAME_WIDTH, max((len(name) for name in found), default=0))
    columns = max(shutil.get_terminal_size().columns, 2 * _NAME_WIDTH)
    for name, (task, names) in found.items():
        text = task.description or (task.command if isinstance(task.command, str) else "")
        text += "" if "default" in names else f" [in {', '.join(names)}]"
        first = f"{name:<{width}}  "
        click.echo(textwrap.fill(text, columns, initial_indent=first, subsequent_indent=" " * (width + 2)))


def _runnable_tasks(session: Session, environment: str | None) -> dict[str, tuple[Task, list[str]]]:
    manifest = session.manifest
    chosen = (
        [find_environment(manifest, environment)] if environment else list(manifest.environments.values())
    )
    found: dict[str, tuple[Task, list[str]]] = {}
    for candidate in chosen:
        platform = runnable_platform(manifest, candidate, session.host)
        if platform is None:
            continue
        for name, task in tasks(candidate, platform).items():
            if not task.hidden:
                found.setdefault(name, (task, []))[1].append(candidate.name)
    return found


def _as_data(task: Task, names: list[str]) -> dict[str, object]:
    return {
        "name": task.name,
        "description": task.description,
        "cmd": task.command,
        "depends-on": [call.task for call in task.depends_on],
        "args": [argument.name for argument in task.args],
        "environments": names,
    }
