"""``start_app`` and its neighbours (runner/app.py): old main programs start this runner."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ai_runner_base.errors import CallerError

from .spec import PipelineSpec, builtin_pipeline_spec
from .started import PATH_VARIABLE, SPEC_VARIABLE

_log = logging.getLogger(__name__)

LIVE = "live-video-to-video"
ENTRY_POINT = "ai_runner_compat.started:spec"
_MODEL_VARIABLES = ("MODEL_DIR", "HUGGINGFACE_HUB_CACHE", "DIFFUSERS_CACHE")


class LiveVideoToVideoPipeline:
    """A specification, as upstream's HTTP side wraps it. Starts nothing, where upstream's starts a process.

    :param pipeline_spec: what to serve
    """

    name = LIVE

    def __init__(self, pipeline_spec: PipelineSpec) -> None:
        self.pipeline_spec = pipeline_spec
        self.model_id = pipeline_spec.name
        self.version = os.environ.get("VERSION", "undefined")

    def __str__(self) -> str:
        return f"LiveVideoToVideoPipeline model_id={self.model_id}"


Servable = PipelineSpec | LiveVideoToVideoPipeline | None


def start_app(
    pipeline: Servable = None, host: str | None = None, port: int | None = None, **uvicorn_kwargs: Any
) -> None:
    """Serve a pipeline until a signal comes, or prepare its models and return.

    Models are prepared when ``PREPARE_MODELS=1`` or ``--prepare-models`` stands in the command line.

    :param pipeline: None: what ``PIPELINE`` and ``MODEL_ID`` say, the built-in ``noop`` or any that is installed
    :param host: by default ``HOST``, else all interfaces, as upstream
    :param port: by default ``PORT``, else 8000
    :param uvicorn_kwargs: have no meaning here; they are named in the log
    :raises SystemExit: it could not be served or prepared; the reason is on standard error
    """
    try:
        spec = _spec_of(pipeline)
    except CallerError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    if uvicorn_kwargs:
        _log.warning("start_app ignores %s: there is no uvicorn here", ", ".join(sorted(uvicorn_kwargs)))
    where = ["--host", host or os.environ.get("HOST") or "0.0.0.0"]
    if port is not None:
        where += ["--port", str(port)]
    prepares = ["--prepare-models"] if "--prepare-models" in sys.argv[1:] else []
    _run_runner([*_arguments(spec), *where, *prepares])


def prepare_models(pipeline_spec: PipelineSpec) -> None:
    """Download and compile what a pipeline needs, in an interpreter of its own.

    :raises SystemExit: it failed; the reason is on standard error
    """
    _run_runner([*_arguments(pipeline_spec), "--prepare-models"])


@dataclass(frozen=True)
class App:
    """What `create_app` gives: a program to start, not an ASGI application.

    :param pipeline: as in `start_app`
    """

    pipeline: Servable

    def run(self, host: str | None = None, port: int | None = None) -> None:
        """Serve; as `start_app`."""
        start_app(self.pipeline, host, port)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> NoReturn:
        """Tell an ASGI server that it is not needed.

        :raises CallerError: always
        """
        raise CallerError(
            "this runner serves HTTP by itself and cannot be run by an ASGI server",
            hint="start it with runner.app.start_app, `python -m app.main` or `ai-runner serve`",
        )


def create_app(pipeline: Servable = None) -> App:
    """Name what to serve. Upstream's is for ASGI servers such as uvicorn, which this runner does without."""
    return App(pipeline)


def _spec_of(pipeline: Servable) -> PipelineSpec | None:
    """The specification to serve; None for the installed pipeline that ``MODEL_ID`` names."""
    if isinstance(pipeline, LiveVideoToVideoPipeline):
        return pipeline.pipeline_spec
    if pipeline is None:
        return _spec_of_environment()
    if isinstance(pipeline, PipelineSpec):
        return pipeline
    raise CallerError(
        f"start_app got {type(pipeline).__name__}, not a PipelineSpec",
        hint="batch pipelines are not part of this runner",
    )


def _spec_of_environment() -> PipelineSpec | None:
    kind, name = os.environ.get("PIPELINE") or LIVE, os.environ.get("MODEL_ID", "")
    if kind != LIVE:
        raise CallerError(
            f"PIPELINE is {kind!r}; there is {LIVE!r} only",
            hint="batch pipelines are not part of this runner",
        )
    return builtin_pipeline_spec(name)


def _arguments(spec: PipelineSpec | None) -> list[str]:
    """Hand a specification to the worker-to-be and say where it finds it."""
    models = os.environ.get("MODEL_DIR", str(Path.home() / ".lpData" / "models"))
    for name in _MODEL_VARIABLES:
        os.environ.setdefault(name, models)
    if spec is None:
        return ["serve"]
    os.environ[SPEC_VARIABLE] = spec.model_dump_json()
    os.environ[PATH_VARIABLE] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return ["serve", "--pipeline", f"{spec.name}={ENTRY_POINT}"]


def _run_runner(arguments: list[str]) -> None:
    from ai_runner_base.cli import run

    if code := run(arguments):
        sys.exit(code)
