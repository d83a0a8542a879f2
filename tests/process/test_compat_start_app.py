"""Old main programs: ``start_app`` serves a pipeline that is installed nowhere, or prepares its models."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests._support.live import clip, start
from tests._support.prefixes import make_prefix

from ai_runner_base.testing.live import RunnerProcess, Viewer, rgb, send
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.process

COMPAT = Path(__file__).parents[2] / "recipes/ai-runner-compat"
MAIN = COMPAT / "tests/old_project/main.py"
STOP_LIMIT_S = 15


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of an environment that has ai-runner-compat, and a stand-in where there is no torch."""
    torch = [] if importlib.util.find_spec("torch") else [COMPAT / "tests/standin"]
    folder = tmp_path_factory.mktemp("start_app")
    return make_prefix(folder, extra_paths=[COMPAT / "src", *torch]) / "bin/python"


def run_to_end(*command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def program(*command: str | Path, **more: str) -> AsyncIterator[RunnerProcess]:
    """A program that serves on the port in its arguments or environment; ended by SIGTERM, with code 0."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), env={**os.environ, **more}, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        welcome = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert " at http://" in welcome, welcome
        yield RunnerProcess(process, welcome.split(" at ")[1].split("/  ")[0], [])
        process.terminate()
        assert await asyncio.wait_for(process.wait(), STOP_LIMIT_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_main_program_serves_health_and_a_real_stream(python: Path) -> None:
    frames, viewer = clip(2), Viewer()
    async with client_session() as http, program(python, MAIN, str(free_port())) as run:
        await run.wait_health(http, "IDLE")
        _, version = await run.call(http, "GET", "/version")
        assert (version["pipeline"], version["model_id"]) == ("live-video-to-video", "halved")
        await start(run, http)
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        await send(http, f"{run.url}/ai/trickle/a", frames)
        await asyncio.wait_for(watching, 20)
    assert viewer.end is None
    assert len(viewer.pictures) >= 0.8 * len(frames)
    # The stream's parameters replace the initial ones, as upstream: the gain is 1 again, its class's default.
    assert rgb(viewer.pictures[-1]).max() > 180


async def test_a_wrapped_specification_with_parameters_of_the_stream(python: Path) -> None:
    frames, viewer = clip(2), Viewer()
    async with (
        client_session() as http,
        program(python, MAIN, str(free_port()), "--wrapped", MODEL_ID="halved") as run,
    ):
        await run.wait_health(http, "IDLE")
        await start(run, http, params={"width": 512, "height": 512, "gain": 0.0, "unheard_of": 1})
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        await send(http, f"{run.url}/ai/trickle/a", frames)
        await asyncio.wait_for(watching, 20)
    assert len(viewer.pictures) >= 0.8 * len(frames)
    assert rgb(viewer.pictures[-1]).max() < 20


@pytest.mark.parametrize("module", ["app.main", "runner.main"])
async def test_the_old_command_serves_what_the_environment_says(python: Path, module: str) -> None:
    named = {"PIPELINE": "live-video-to-video", "MODEL_ID": "noop", "HOST": "127.0.0.1", "VERSION": "0.14.1"}
    async with client_session() as http, program(python, "-m", module, PORT=str(free_port()), **named) as run:
        await run.wait_health(http, "IDLE")
        _, version = await run.call(http, "GET", "/version")
        assert version == {"pipeline": "live-video-to-video", "model_id": "noop", "version": "0.14.1"}


@pytest.mark.parametrize("how", ["variable", "flag"])
def test_models_are_prepared_instead(python: Path, how: str, tmp_path: Path) -> None:
    if how == "variable":
        done = run_to_end(python, MAIN, "0", MODEL_DIR=str(tmp_path), PREPARE_MODELS="1")
    else:
        done = run_to_end(python, MAIN, "0", "--prepare-models", MODEL_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "Halved--models/prepared").read_text() == "yes"


def test_a_failing_preparation_fails_the_program(python: Path, tmp_path: Path) -> None:
    (tmp_path / "Halved--models").mkdir()  # the pipeline makes this folder and does not expect it
    done = run_to_end(python, MAIN, "0", "--prepare-models", MODEL_DIR=str(tmp_path))
    assert done.returncode != 0
    assert "FileExistsError" in done.stderr


def test_a_batch_pipeline_is_refused_in_one_sentence(python: Path) -> None:
    done = run_to_end(python, "-m", "app.main", PIPELINE="text-to-image", MODEL_ID="any/model")
    assert done.returncode == 2
    assert done.stderr.startswith("error: PIPELINE is 'text-to-image'")


@pytest.mark.parametrize("text", ["mine=", "=module:Class", "mine=module", "mine=:Class", "mine=module:"])
def test_a_place_that_is_none_is_refused_with_its_form(python: Path, text: str) -> None:
    done = run_to_end(python, "-m", "ai_runner_base", "serve", "--pipeline", text)
    assert done.returncode == 2
    assert "does not have the form NAME=package.module:Object" in done.stderr
