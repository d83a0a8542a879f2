"""The network's contract for external runners, sections 1.1 to 1.6, over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests._support.prefixes import make_prefix

from ai_runner_base.testing.live import RunnerProcess, runner
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.process

HEALTH = {"LOADING", "OK", "ERROR", "IDLE"}
START = {"subscribe_url": "http://127.0.0.1:9/in", "publish_url": "http://127.0.0.1:9/out"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


async def test_every_json_path_answers_with_and_without_a_slash_in_json(http: aiohttp.ClientSession) -> None:
    async with runner("--pipeline", "noop") as run:
        for path in (
            "/health",
            "/version",
            "/hardware/info",
            "/hardware/stats",
            "/streams",
            "/openapi.json",
            "/pipelines",
        ):
            bodies = []
            for variant in (path, f"{path}/"):
                async with http.get(run.url + variant) as answer:
                    assert answer.status == 200
                    assert "json" in answer.headers["Content-Type"]
                    bodies.append(set(await answer.json()))
            assert bodies[0] == bodies[1]
        for method, path in (("GET", "/nowhere"), ("GET", "/streams/none"), ("PUT", "/health")):
            async with http.request(method, run.url + path) as answer:
                assert answer.status in (404, 405)
                assert (await answer.json())["detail"]["msg"]


async def test_identity_is_echoed_as_configured(http: aiohttp.ClientSession) -> None:
    env = {"PIPELINE": "live-video-to-video", "MODEL_ID": "noop", "VERSION": "1.2.3"}
    async with runner(env=env) as run:
        _, version = await run.call(http, "GET", "/version")
        assert version == {"pipeline": "live-video-to-video", "model_id": "noop", "version": "1.2.3"}
        _, info = await run.call(http, "GET", "/hardware/info")
        assert (info["pipeline"], info["model_id"], info["gpu_info"]) == ("live-video-to-video", "noop", {})
    async with runner("--identity-pipeline=other", "--model-id=noop", "--identity-version=2") as run:
        assert (await run.call(http, "GET", "/version"))[1] == {
            "pipeline": "other",
            "model_id": "noop",
            "version": "2",
        }


@pytest.fixture
def slow_prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path, ["slow_load"])


async def test_everything_answers_within_a_second_while_a_pipeline_loads(
    http: aiohttp.ClientSession, slow_prefix: Path
) -> None:
    async with runner("--pipeline=slow_load", f"--environments={slow_prefix}") as run:
        for method, path, body in (
            ("GET", "/health", None),
            ("GET", "/hardware/info", None),
            ("GET", "/version", None),
            ("POST", "/live-video-to-video", START),
            ("GET", "/health", None),
        ):
            begin_s = time.monotonic()
            status, answer = await run.call(http, method, path, body)
            assert time.monotonic() - begin_s < 1.0
            assert status == 200
            if path == "/health":
                assert answer["status"] == "LOADING"


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({}, 422, ["body", "subscribe_url"]),
        ({**START, "subscribe_url": "ftp://x"}, 422, ["body", "subscribe_url"]),
        ({**START, "params": [1]}, 422, ["body", "params"]),
        ({**START, "events_url": 7}, 422, ["body", "events_url"]),
        ({**START, "model_id": "other"}, 400, None),
        ({**START, "params": {"width": 63}}, 400, None),
        ({**START, "params": {"no_such": 1}}, 400, None),
        ([START], 400, None),
    ],
)
async def test_what_the_caller_got_wrong(
    http: aiohttp.ClientSession, shared_runner: RunnerProcess, body: Any, status: int, where: list[str] | None
) -> None:
    got, answer = await shared_runner.call(http, "POST", "/live-video-to-video", body)
    assert got == status, answer
    if where:
        assert answer["detail"][0]["loc"] == where
        assert {"loc", "msg", "type"} <= set(answer["detail"][0])
    else:
        assert answer["detail"]["msg"]
    assert (await shared_runner.call(http, "GET", "/health"))[1]["status"] == "IDLE"


@pytest.fixture
async def shared_runner(http: aiohttp.ClientSession) -> AsyncIterator[RunnerProcess]:
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        yield run


async def test_a_body_that_is_not_json_is_the_callers_fault(
    http: aiohttp.ClientSession, shared_runner: RunnerProcess
) -> None:
    for payload in (b"", b"{", b"\xff\xfe", b'"text"', b"[" * 100_000, b"{" + b" " * (5 << 20)):
        async with http.post(f"{shared_runner.url}/live-video-to-video", data=BytesIO(payload)) as answer:
            assert answer.status == 400
            assert (await answer.json())["detail"]["msg"]


async def test_null_params_are_taken_and_the_answer_has_the_required_strings(
    http: aiohttp.ClientSession, shared_runner: RunnerProcess
) -> None:
    body = {**START, "params": None, "gateway_request_id": "g1", "manifest_id": "m1", "stream_id": "s1"}
    status, answer = await shared_runner.call(
        http, "POST", "/live-video-to-video", {**body, "something_new": 1}
    )
    assert status == 200
    assert set(answer) == {
        "subscribe_url",
        "publish_url",
        "control_url",
        "events_url",
        "request_id",
        "manifest_id",
    }
    assert all(isinstance(value, str) for value in answer.values())
    assert answer["manifest_id"] == "m1"


async def test_a_dead_input_frees_the_runner_by_itself(
    http: aiohttp.ClientSession, shared_runner: RunnerProcess
) -> None:
    assert (await shared_runner.call(http, "POST", "/live-video-to-video", START))[0] == 200
    await shared_runner.wait_health(http, "IDLE", limit_s=15)


async def test_the_token_guards_what_changes_something_and_nothing_else(http: aiohttp.ClientSession) -> None:
    async with runner("--pipeline", "noop", env={"AUTH_TOKEN": "s3cret"}) as run:
        await run.wait_health(http, "IDLE")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            async with http.post(f"{run.url}/live-video-to-video", json=START, headers=headers) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert (await answer.json())["detail"]["msg"]
        for path in ("/health", "/version", "/hardware/info", "/streams"):
            assert (await run.call(http, "GET", path))[0] == 200
        right = {"Authorization": "Bearer s3cret"}
        async with http.post(f"{run.url}/live-video-to-video", json=START, headers=right) as answer:
            assert answer.status == 200
        assert "s3cret" not in "\n".join(run.lines)


async def test_a_page_of_another_site_changes_nothing(http: aiohttp.ClientSession) -> None:
    """Browsers let any page send a simple request to loopback, without a preflight."""
    foreign = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    async with runner("--pipeline", "noop") as run:
        for method, path in (("POST", "/live-video-to-video"), ("DELETE", "/streams/none")):
            async with http.request(
                method, run.url + path, data=json.dumps(START), headers=foreign
            ) as answer:
                assert answer.status == 403
                assert "http://evil.example" in (await answer.json())["detail"]["msg"]
        assert (await run.call(http, "GET", "/streams"))[1]["streams"] == []
        async with http.delete(f"{run.url}/streams/none", headers={"Origin": run.url}) as answer:
            assert answer.status == 404


async def test_log_lines_have_the_shape_that_operators_parse(http: aiohttp.ClientSession) -> None:
    ids = {"gateway_request_id": "g1", "manifest_id": "m1", "stream_id": "s1"}
    async with runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await run.call(http, "POST", "/live-video-to-video", {**START, **ids})
        await run.wait_health(http, "IDLE", limit_s=15)
        await asyncio.sleep(0.1)
    started = next(line for line in run.lines if "stream starts" in line)
    keys = [part.partition("=")[0] for part in started.split(" ")[:6]]
    assert keys == ["timestamp", "level", "location", "gateway_request_id", "manifest_id", "stream_id"]
    assert "gateway_request_id=g1 manifest_id=m1 stream_id=s1 message=" in started


async def test_the_published_description_is_valid_and_complete(
    http: aiohttp.ClientSession, shared_runner: RunnerProcess
) -> None:
    _, document = await shared_runner.call(http, "GET", "/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert {"/health", "/version", "/hardware/info", "/hardware/stats", "/live-video-to-video"} <= set(
        document["paths"]
    )
    answers = document["paths"]["/live-video-to-video"]["post"]["responses"]
    assert {"200", "400", "401", "422", "500"} <= set(answers)
    health = document["components"]["schemas"]["HealthResponse"]["properties"]["status"]
    assert set(health["enum"]) == HEALTH
