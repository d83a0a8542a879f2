"""Asking a pipeline's own interpreter what the pipeline is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from ..errors import HostError, PipelineError
from ._activation import activation_environment
from ._installed import InstalledPipeline

PROGRAM = "ai_runner_base.pipeline.describe"

_TAIL_BYTES = 4096
_ANSWER_LIMIT_BYTES = 4 * 1024 * 1024


def describe(
    installed: InstalledPipeline, base: Mapping[str, str], *, timeout_s: float = 60.0
) -> dict[str, Any]:
    """Import a pipeline in its own environment and report on it. Blocks; takes as long as the import.

    :param installed: which one
    :param base: environment variables to start from, usually ``os.environ``
    :param timeout_s: limit of the whole call; torch can take half a minute to import from a cold disk
    :return: the object described in `ai_runner_base.pipeline.describe`
    :raises PipelineError: it cannot be imported, is no pipeline, or did not answer in time
    :raises HostError: its interpreter cannot be started
    """
    command = [str(installed.python), "-I", "-m", PROGRAM, installed.entry_point]
    environment = activation_environment(installed.prefix, base)
    # Files, not pipes: a process that the pipeline leaves behind could hold a pipe open for ever.
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as log:
        _run(command, environment, answer, log, timeout_s, installed.name)
        return _read(answer, log, installed.name)


def _run(
    command: list[str],
    environment: dict[str, str],
    answer: IO[bytes],
    log: IO[bytes],
    timeout_s: float,
    name: str,
) -> None:
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=log,
            start_new_session=True,
        )
    except OSError as error:
        raise HostError(f"cannot start {command[0]}: {error}", hint="make the environment again") from error
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise PipelineError(f"pipeline {name!r} did not describe itself within {timeout_s:g} s") from None
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the program and whatever the pipeline started, in the session that was made for them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(answer: IO[bytes], log: IO[bytes], name: str) -> dict[str, Any]:
    answer.seek(0)
    try:
        described: dict[str, Any] = json.loads(answer.read(_ANSWER_LIMIT_BYTES))
    except ValueError:
        raise PipelineError(
            f"pipeline {name!r} ended its interpreter while it was imported", remote_traceback=_tail(log)
        ) from None
    if described["ok"]:
        return described
    error = described["error"]
    raise PipelineError(error["message"], hint=error["hint"], remote_traceback=error["traceback"])


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _TAIL_BYTES))
    return log.read().decode(errors="replace")
