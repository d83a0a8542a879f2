"""What a pipeline says of itself, asked in its own interpreter.

``PREFIX/bin/python -I -m ai_runner_base.pipeline.describe ENTRY_POINT`` writes one JSON object to its
standard output and exits with 0, or with 3 when the pipeline is broken. Nothing else can reach that output:
it is moved to a private descriptor before the pipeline is imported, and what the pipeline prints goes to
standard error.

======================  ================================================================================
``ok``                  true; otherwise there are only ``ok`` and ``error``
``name``                the pipeline's own name, as in `PipelineSpec`
``kind``                ``frame`` for a `FramePipeline`, else ``pipeline``
``params_schema``       JSON schema of the parameters
``default_params``      the initial parameters, complete
``output_resolution``   [width, height] in px that the initial parameters lead to
``prepares_models``     whether there is something to download or compile ahead of time
``versions``            of ``python`` and ``ai_runner_base``
``error``               ``message``, ``hint``, ``traceback``
======================  ================================================================================
"""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from typing import Any

from ..errors import RunnerError

USAGE = "usage: python -I -m ai_runner_base.pipeline.describe PACKAGE.MODULE:NAME"


def describe(entry_point: str) -> dict[str, Any]:
    """Import a pipeline and collect what there is to know without making it.

    :param entry_point: ``package.module:Name``
    :raises PipelineError: it cannot be imported, or is no pipeline
    """
    from .. import __version__
    from . import FramePipeline, Pipeline, load_pipeline, params_schema

    loaded = load_pipeline(entry_point)
    return {
        "ok": True,
        "name": loaded.name,
        "kind": "frame" if issubclass(loaded.pipeline_cls, FramePipeline) else "pipeline",
        "params_schema": params_schema(loaded.params_cls),
        "default_params": loaded.initial_params.model_dump(mode="json"),
        "output_resolution": list(loaded.initial_params.get_output_resolution()),
        "prepares_models": _defining_class(loaded.pipeline_cls, "prepare_models") is not Pipeline,
        "versions": {"python": platform.python_version(), "ai_runner_base": __version__},
    }


def _defining_class(cls: type[Any], member: str) -> type[Any]:
    return next(base for base in cls.__mro__ if member in vars(base))


def _failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, RunnerError):
        message, hint, text = error.message, error.hint, getattr(error, "remote_traceback", "")
    else:
        message, hint, text = (
            f"{type(error).__name__}: {error}",
            "",
            "".join(traceback.format_exception(error)),
        )
    return {"ok": False, "error": {"message": message, "hint": hint, "traceback": text}}


def main(arguments: list[str]) -> int:
    """Run as a program.

    :return: the exit code
    """
    if len(arguments) != 1:
        sys.stderr.write(USAGE + "\n")
        return 2
    private_fd = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = describe(arguments[0])
    except BaseException as error:  # SystemExit too: a module that exits on import is broken, not finished
        answer = _failure(error)
    with os.fdopen(private_fd, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0 if answer["ok"] else 3


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads and exit handlers of the pipeline are not waited for
