"""`ai-runner dev`: a pipeline's source, served; a change of a file takes effect in the running stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..authoring import Project, Watch, explain, read_project
from ..catalog import Catalog, InstalledPipeline, environment_name
from ..errors import PipelineError, RunnerError
from ..server import ServerOptions
from ..stream import Runner, Seat
from ..supervisor import PipelineReported, WorkerEvent, WorkerState
from ..trickle import ClientOptions
from ._logging import never_waiting
from ._serving import LOOPBACK, ServeOptions, log_failure, serve
from ._workers import WorkerOptions

_REMIND_S = 8.0
"""The page shows an error for ten seconds."""


@click.command(name="dev")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, envvar="PORT")
@click.option("--load-timeout", type=float, default=180.0, show_default=True, metavar="SECONDS")
def command(path: Path, port: int, load_timeout: float) -> None:
    """Serve the pipelines of the repository PATH from their source, with the page, on the loopback interface.

    When a file changes, a new worker loads beside the one that runs and takes over between two frames; if it does not
    load, the old one goes on, and the error is shown here and in the page. Needs an environment that has what the
    pipelines need: `pixi run dev`.
    """
    project = read_project(path)
    names = tuple(entry.name for entry in project.entry_points)
    options = ServeOptions(
        workers=WorkerOptions(names=names, load_timeout_s=load_timeout),
        host=LOOPBACK[0],
        port=port,
        server=ServerOptions(model_id=names[0]),
        client=ClientOptions(),
    )
    with never_waiting():
        asyncio.run(serve(options, _catalog(project), Development(project)))


def _catalog(project: Project) -> Catalog:
    """The project's pipelines as if they were installed in this environment."""
    prefix = Path(sys.prefix)
    return Catalog(
        tuple(
            InstalledPipeline(
                name=entry.name,
                entry_point=entry.place,
                package=project.package,
                version="",
                prefix=prefix,
                environment=environment_name(prefix),
                source=project.source,
            )
            for entry in project.entry_points
        )
    )


class Development:
    """Renews workers when the source changes, and tells of it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._watch = Watch(project.watched)

    def hear(self, event: WorkerEvent) -> WorkerEvent:
        """Tell what the pipeline raises with the line of source it comes from."""
        if not isinstance(event, PipelineReported) or not event.traceback:
            return event
        raised = PipelineError(event.message, remote_traceback=event.traceback)
        return replace(event, message=explain(raised, self._project.folder))

    async def attend(self, runner: Runner) -> None:
        """Watch until cancelled."""
        shown = ", ".join(str(path.relative_to(self._project.folder)) for path in self._project.watched)
        click.echo(f"watching {shown}: a change takes effect in the running stream")
        working = _begin(self._load_first(runner))
        try:
            while True:
                changed = await self._watch.next_change()
                working.cancel()  # what it loads is out of date
                await asyncio.gather(working, return_exceptions=True)
                working = _begin(self._renew_all(runner, changed))
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _load_first(self, runner: Runner) -> None:
        for seat in runner.pool:
            try:
                await seat.supervisor.wait_ready(seat.supervisor.options.load_timeout_s)
            except RunnerError as error:
                self._tell(explain(error, self._project.folder))

    async def _renew_all(self, runner: Runner, changed: list[Path]) -> None:
        names = [str(path.relative_to(self._project.folder)) for path in changed]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        click.echo(f"changed: {', '.join(names[:3])}{more}")
        await asyncio.gather(*(self._renew(runner, seat) for seat in runner.pool))

    async def _renew(self, runner: Runner, seat: Seat) -> None:
        """Renew a worker; if that fails say so, and in the page until the next change."""
        try:
            info = await seat.supervisor.renew()
        except RunnerError as error:
            text = explain(error, self._project.folder)
            goes_on = seat.supervisor.state is WorkerState.READY
            self._tell(text, "the version before goes on" if goes_on else "")
            while True:
                runner.on_worker_event(seat, PipelineReported(text, getattr(error, "remote_traceback", "")))
                await asyncio.sleep(_REMIND_S)
        click.echo(f"{seat.name} is renewed ({info.load_s:.1f} s)")

    @staticmethod
    def _tell(text: str, then: str = "") -> None:
        click.secho(text, fg="red", err=True)
        if then:
            click.echo(f"  {then}", err=True)


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name="renew")
    task.add_done_callback(log_failure)
    return task
