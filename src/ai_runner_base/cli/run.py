"""`ai-runner run`: a file or URL through a pipeline into another one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..catalog import Catalog
from ..errors import CallerError
from ..stream import FileJob, JobProgress, JobResult
from ..supervisor import Supervisor, SupervisorOptions, WorkerEvent
from ._options import environments_option, params_option, parse_params
from ._workers import Installation, choose

LOAD_LIMIT_S = 600.0


@click.command(name="run")
@click.option(
    "--pipeline",
    "name",
    default="",
    envvar="MODEL_ID",
    metavar="NAME[@ENVIRONMENT]",
    help="Default: MODEL_ID, else the only one that is installed.",
)
@click.option("-i", "--input", "source", required=True, help="A file, or a URL that FFmpeg opens.")
@click.option(
    "-o", "--output", "target", required=True, help="The same; the container follows from the name."
)
@params_option
@environments_option
def command(
    name: str, source: str, target: str, param_pairs: tuple[str, ...], environments: tuple[Path, ...]
) -> None:
    """Send every frame of INPUT through a pipeline into OUTPUT: in order, same times, audio kept.

    Width and height are the input's unless given as parameters. A file appears under its name when it is complete.
    """
    params = parse_params(param_pairs)
    _check_files(source, target)
    asyncio.run(_run(Catalog.scan(also=environments), name, source, target, params))


def _check_files(source: str, target: str) -> None:
    """Refuse before a pipeline is loaded for nothing."""
    if "://" not in source and not Path(source).exists():
        raise CallerError(f"there is no input file {source}", hint="check the path")
    folder = Path(target).parent
    if "://" not in target and not folder.is_dir():
        raise CallerError(f"there is no folder {folder} for the output", hint="make it first")
    if "://" not in target and Path(target).resolve() == Path(source).resolve():
        raise CallerError("input and output are the same file", hint="choose another name for the output")


async def _run(catalog: Catalog, name: str, source: str, target: str, params: dict[str, Any]) -> None:
    jobs: list[FileJob] = []

    def on_event(event: WorkerEvent) -> None:
        for job in jobs:
            job.on_worker_event(event)

    (chosen,) = choose((name,) if name else (), catalog)
    installation = Installation(chosen, {})  # held until the job is done
    spec = installation.spec
    supervisor = Supervisor(spec, SupervisorOptions(load_timeout_s=LOAD_LIMIT_S), on_event=on_event)
    with _bar() as bar:
        task = bar.add_task(f"loading {spec.name}", total=None, fps="")
        await supervisor.start()
        try:
            await supervisor.wait_ready(LOAD_LIMIT_S)
            start_s = time.monotonic()
            jobs.append(
                FileJob(supervisor, source, target, params, lambda done: _show(bar, task, spec.name, done))
            )
            result = await jobs[0].run()
        finally:
            await supervisor.aclose()
    click.echo(_summary(result, target, time.monotonic() - start_s))


def _bar() -> Bar:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Bar(*columns, TextColumn("{task.fields[fps]}"), console=Console(stderr=True), transient=True)


def _show(bar: Bar, task: Any, name: str, done: JobProgress) -> None:
    elapsed_s = bar.tasks[0].elapsed or 0.0
    fps = f"{done.frames / elapsed_s:.0f} fps" if elapsed_s else ""
    bar.update(task, description=name, completed=done.frames, total=done.total, fps=fps)


def _summary(result: JobResult, target: str, seconds: float) -> str:
    left_out = f", {result.unanswered} left out by the pipeline" if result.unanswered else ""
    audio = ", with audio" if result.audio_packets else ""
    return (
        f"{target}: {result.frames_out} frames of {result.width}x{result.height}{left_out}{audio},"
        f" in {seconds:.1f} s ({result.frames_out / max(seconds, 1e-3):.0f} fps)"
    )
