"""The worker's side of ``start_app``: the specification that came with the environment.

Workers run isolated from the folder that they are started in. A main program's own modules are where its
interpreter found them, so that interpreter's search path comes along; upstream's process inherits it as well.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from ai_runner_base.errors import CallerError

from .spec import PipelineSpec

SPEC_VARIABLE = "AI_RUNNER_COMPAT_SPEC"
"""JSON of a `PipelineSpec`."""
PATH_VARIABLE = "AI_RUNNER_COMPAT_PATH"
"""Folders that come first in the worker's search path."""


def _read() -> PipelineSpec:
    text = os.environ.get(SPEC_VARIABLE, "")
    if not text:
        raise CallerError(f"{SPEC_VARIABLE} is not set", hint="start the pipeline with runner.app.start_app")
    for entry in reversed(os.environ.get(PATH_VARIABLE, "").split(os.pathsep)):
        if entry and entry not in sys.path:
            sys.path.insert(0, entry)
    return PipelineSpec.model_validate_json(text)


def __getattr__(name: str) -> Any:
    """``spec``, read when the worker asks for it and not by `start`, which needs the names of the variables."""
    if name == "spec":
        return _read()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
