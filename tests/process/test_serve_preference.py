"""`serve` without a pipeline's name: measured once with real workers, the first that is fast enough is served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests._support.prefixes import make_prefix

from ai_runner_base.testing.live import runner
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.process

START = {"subscribe_url": "http://127.0.0.1:9/in", "publish_url": "http://127.0.0.1:9/out"}
PROGRAM = [sys.executable, "-m", "ai_runner_base"]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path, ["sluggish", "echo"])


@pytest.fixture
def env(tmp_path: Path, prefix: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "AI_RUNNER_ENVIRONMENTS": str(prefix)}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


@contextlib.asynccontextmanager
async def undecided(env: Mapping[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A runner that has yet to measure, on a port that is known before it says so."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", "--port", str(port), env={**os.environ, **env}, stdout=-1, stderr=-1
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 15)


async def first_answer(http: aiohttp.ClientSession, url: str) -> Any:
    async with asyncio.timeout(15):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{url}/health") as answer:
                    return await answer.json()
            await asyncio.sleep(0.02)


async def line_of(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), 30)).decode()


async def test_too_slow_is_found_out_once_and_the_next_one_served(
    http: aiohttp.ClientSession, env: dict[str, str]
) -> None:
    env["AI_RUNNER_PREFER"] = "not-installed sluggish echo"
    async with undecided(env) as (process, url):
        assert await first_answer(http, url) == {"status": "LOADING"}
        assert [item["state"] for item in await _pipelines(http, url)] == ["MEASURING"]
        async with http.post(f"{url}/live-video-to-video", json=START) as answer:  # waits for the verdict
            assert answer.status == 200
        assert "measuring how fast sluggish is" in await line_of(process.stderr)
        verdict = await line_of(process.stderr)
        assert re.match(r"sluggish: [1-5] fps at 640x480, less than 15: echo instead", verdict), verdict
        assert "serves echo at" in await line_of(process.stdout)
        async with http.get(f"{url}/version") as answer:
            assert (await answer.json())["model_id"] == "echo"
    _rewrite_figure(Path(env["XDG_CACHE_HOME"]), others=0.0)
    async with runner(env=env) as run:
        assert [item["name"] for item in await _pipelines(http, run.url)] == ["echo"]
        assert not [line for line in run.lines if "measuring" in line]


async def test_a_page_is_told_that_the_machine_is_measured(
    http: aiohttp.ClientSession, env: dict[str, str]
) -> None:
    env["AI_RUNNER_PREFER"] = "sluggish echo"
    protocols = ["ai-runner.playground.1"]
    async with undecided(env) as (_, url):
        assert await first_answer(http, url) == {"status": "LOADING"}
        async with http.ws_connect(f"{url}/playground/session", protocols=protocols, origin=url) as page:
            await page.send_json({"type": "start", "pipeline": "", "params": {}, "token": ""})
            told = [await page.receive_json(timeout=60) for _ in range(2)]
    assert [message["type"] for message in told] == ["measuring", "started"]
    assert told[1]["pipeline"] == "echo"


async def test_fast_enough_is_served_and_its_figure_shown(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    prefix = make_prefix(tmp_path, ["echo"])
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "AI_RUNNER_ENVIRONMENTS": str(prefix)}
    answer = json.loads(await _run("pipelines", "--json", "--no-params", "--measure", env=env, only=prefix))
    speed = {item["name"]: item["speed"] for item in answer["pipelines"]}["echo"]
    assert speed["fps"] > 0
    assert (speed["width"], speed["height"]) == (640, 480)
    _rewrite_figure(tmp_path / "cache", fps=60.4, others=0.0)
    told = await _run("pipelines", "--no-params", env=env, only=prefix)
    assert "holds 60 fps at 640x480 here" in told
    async with runner("--prefer", "echo", "--prefer", "noop", env=env) as run:
        assert [item["name"] for item in await _pipelines(http, run.url)] == ["echo"]


async def test_no_measure_takes_the_last_one(http: aiohttp.ClientSession, env: dict[str, str]) -> None:
    async with runner("--prefer=echo", "--prefer=sluggish", "--no-measure", env=env) as run:
        assert [item["name"] for item in await _pipelines(http, run.url)] == ["sluggish"]


async def test_a_signal_while_it_measures_ends_it_and_the_worker(
    http: aiohttp.ClientSession, env: dict[str, str]
) -> None:
    env["AI_RUNNER_PREFER"] = "sluggish echo"
    async with undecided(env) as (process, _):
        await line_of(process.stderr)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert process.stdout is not None
        assert await process.stdout.read() == b""


def _rewrite_figure(cache: Path, **figures: float) -> None:
    """What follows must not depend on what else the machine does while this test runs."""
    (file,) = (cache / "ai-runner" / "speed").iterdir()
    content = json.loads(file.read_text())
    content["speed"] |= figures
    file.write_text(json.dumps(content))


async def _pipelines(http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with http.get(f"{url}/pipelines") as answer:
        return list((await answer.json())["pipelines"])


async def _run(*words: str, env: Mapping[str, str], only: Path) -> str:
    """Run a command with one environment's interpreter, so that nothing else is installed beside it."""
    process = await asyncio.create_subprocess_exec(
        str(only / "bin/python"),
        "-m",
        "ai_runner_base",
        *words,
        env={**os.environ, **env},
        stdout=-1,
        stderr=-1,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()
