"""What is checked without a worker: names, import, schema, preparation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO

from ..catalog import describe
from ..errors import RunnerError
from ._bench import Bench
from ._outcomes import Broken, Skipped
from ._rules import rule
from ._schema import COMMON, complaints, own_properties

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME = 64
_TAIL_LINES = 15
_TAIL_BYTES = 64 * 1024
_PROBE_LIMIT_S = 60.0
_PROBE = "ai_runner_base.conformance.probe"
_OFFLINE = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
                    "http://127.0.0.1:9"),
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}  # fmt: skip
"""A proxy that nobody runs: programs that obey the usual variables are cut off from every network."""


@rule(
    "name",
    "The name is small letters, digits and single hyphens, at most 64 of them.",
    "It stands in command lines, URLs and file names; NAME@ENVIRONMENT must stay readable.",
)
async def check_name(bench: Bench) -> str:
    """Compare the name with its pattern."""
    name = bench.installed.name
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise Broken(f"{name!r}")
    return name


@rule(
    "import",
    "Its module can be imported in a fresh interpreter, within 10 s, and nothing of it in the runner.",
    "Whoever lists pipelines waits for each import. Put heavy imports into setup() or initialize().",
)
async def check_import(bench: Bench) -> str:
    """Describe it as `ai-runner pipelines` does."""
    started_s, limit_s = time.monotonic(), bench.options.import_limit_s
    try:
        answer = await asyncio.to_thread(
            describe, bench.installed, bench.outside, timeout_s=max(60.0, 3 * limit_s)
        )
    except RunnerError as error:
        trace = getattr(error, "remote_traceback", "").splitlines()[-_TAIL_LINES:]
        raise Broken(str(error), "\n".join(trace)) from error
    seconds = time.monotonic() - started_s
    bench.description = answer
    if (top := bench.installed.entry_point.partition(":")[0].partition(".")[0]) in sys.modules:
        raise Broken(f"{top} is loaded in the runner's process")
    if seconds > limit_s:
        raise Broken(f"{seconds:.1f} s, limit {limit_s:g} s")
    return f"{seconds:.1f} s"


@rule(
    "schema",
    "Every parameter has a description, a default that its rules allow, and every number a range.",
    "The playground draws its controls from this, and operators read it.",
    needs="import",
)
async def check_schema(bench: Bench) -> str:
    """Read the schema."""
    schema = bench.description["params_schema"]
    found = list(complaints(schema))
    if missing := COMMON - set(schema.get("properties", {})):
        found.append(f"{', '.join(sorted(missing))} of BaseParams is gone")
    if found:
        raise Broken(found[0] if len(found) == 1 else f"{len(found)} faults", "\n".join(found))
    return f"{len(own_properties(schema))} parameters of its own"


@rule(
    "handshake",
    "Two fresh interpreters say the same of it: parameters, defaults, output size.",
    "Pages, clients and caches would see another pipeline after each restart.",
    needs="import",
)
async def check_handshake(bench: Bench) -> str:
    """Describe it once more and compare; what a worker says, too."""
    again = await asyncio.to_thread(describe, bench.installed, bench.outside)
    different = [key for key in bench.description if again.get(key) != bench.description[key]]
    if different:
        key = different[0]
        raise Broken(f"{key} differs", f"{bench.description[key]}\n{again.get(key)}")
    return "equal"


@rule(
    "prepare",
    "prepare_models() can be run again, offline, and then takes less than 30 s.",
    "It runs before every start of a service, also where there is no network.",
    needs="import",
)
async def check_prepare(bench: Bench) -> str:
    """Run it twice, the second time behind a proxy that does not exist."""
    if not bench.description["prepares_models"]:
        raise Skipped("there is nothing to prepare")
    first_s = await _prepare(bench, {}, bench.options.prepare_limit_s, "the first run")
    limit_s = bench.options.prepared_limit_s
    second_s = await _prepare(bench, _OFFLINE, limit_s, "offline, a second run")
    return f"first {first_s:.1f} s, again and offline {second_s:.1f} s"


async def _prepare(bench: Bench, more_env: Mapping[str, str], limit_s: float, what: str) -> float:
    words = ["-m", "ai_runner_base.worker", "--prepare", bench.installed.entry_point]
    started_s = time.monotonic()
    code, text = await asyncio.to_thread(run_program, bench, words, more_env, limit_s)
    if code is None:
        raise Broken(f"{what} took more than {limit_s:g} s", text)
    if code:
        raise Broken(f"{what} failed with exit code {code}", text)
    return time.monotonic() - started_s


@rule(
    "finite",
    "Black, white and noisy pictures give no NaN and no infinity.",
    "They are shown as black or white; in a pipeline with a memory they spread and stay.",
    needs="frames",
)
async def check_finite(bench: Bench) -> str:
    """Look at raw results in the pipeline's own interpreter, before the runner makes bytes of them."""
    limit_s = 3 * bench.load_s + _PROBE_LIMIT_S
    words = ["-m", _PROBE, bench.installed.entry_point]
    code, text = await asyncio.to_thread(run_program, bench, words, {}, limit_s)
    if code is None:
        raise Broken(f"no answer within {limit_s:g} s", text)
    lines = [line for line in text.splitlines() if line.startswith('{"pictures"')]
    if not lines:
        raise Broken(f"its interpreter ended with code {code}", text)
    answer = json.loads(lines[-1])
    if answer["error"]:
        raise Broken(answer["error"], answer["traceback"])
    if answer["not_finite"]:
        raise Broken("NaN or infinity for: " + ", ".join(answer["not_finite"]))
    return f"{answer['pictures']} pictures, {answer['kinds'] or 'none came back'}"


def run_program(
    bench: Bench, words: Sequence[str], more_env: Mapping[str, str], limit_s: float
) -> tuple[int | None, str]:
    """Run the pipeline's interpreter; with all that it has started, it ends by the limit. Blocks.

    Its output goes to a file, not a pipe: a process that it leaves behind could hold a pipe open for ever.

    :returns: exit code, None when the time was over; the last lines of its output
    """
    command = [str(bench.installed.python), "-I", *words]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env={**bench.environment, **more_env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(limit_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return code, _tail(output)


def _tail(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL_BYTES))
    lines = output.read().decode(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-_TAIL_LINES:])
