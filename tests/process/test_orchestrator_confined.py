"""What a session may do at a runner, and what somebody who only says that it is one may do: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests._support.live import SIZE, start
from tests._support.live_runner import Client, ready_entry, registered_runner, streams, until, wait_streams
from tests._support.orchestrator import Orchestrator

from ai_runner_base.testing.live import RunnerProcess, runner
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.process

TOKEN = "operator-token-1"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


def headers(orch: Orchestrator, client: Client, **changes: str) -> dict[str, str]:
    """What the proxy would send for a session."""
    entry = orch.only()
    return {
        "Livepeer-Runner-Route": entry.id,
        "Livepeer-Session-Id": client.session_id,
        "Livepeer-Session-Token": entry.sessions[client.session_id].token,
        "Livepeer-Session-Control": f"{orch.internal_url}/runner/{entry.id}/session/{client.session_id}",
    } | {name.replace("_", "-"): value for name, value in changes.items()}


async def post(
    http: aiohttp.ClientSession, run: RunnerProcess, sent: dict[str, str], body: Any = None
) -> tuple[int, str]:
    async with http.post(f"{run.url}/live-video-to-video", headers=sent, json=body or {}) as answer:
        return answer.status, await answer.text()


async def test_a_session_sees_its_own_stream_and_nothing_else(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch, "--workers", "noop=2") as run:
        entry = await ready_entry(orch)
        await until(lambda: entry.capacity == 2)
        other = await start(run, http)
        client = await Client.reserve(http, orch, entry)
        assert (await client.call("GET", "/streams"))[1] == {"streams": []}
        mine = (await client.start())["request_id"]
        status, listed = await client.call("GET", "/streams")
        assert [one["id"] for one in listed["streams"]] == [mine]
        for method, path in [
            ("GET", f"/streams/{other}"),
            ("PATCH", f"/streams/{other}/params"),
            ("DELETE", f"/streams/{other}"),
            ("GET", "/metrics"),
            ("GET", "/orchestrators"),
            ("GET", "/ai/trickle/a/0"),
            ("POST", "/ai/trickle/a/0"),
            ("GET", "/"),
            ("GET", "/playground/session"),
            ("POST", "/pipelines"),
            ("GET", f"/streams/{mine}-and-more"),
        ]:
            status, answer = await client.call(method, path, {} if method != "GET" else None)
            assert status == 403, (method, path, status, answer)
        for path in ("/health", "/ready", "/version", "/hardware/info", "/openapi.json", f"/streams/{mine}"):
            assert (await client.call("GET", path))[0] == 200, path
        (noop,) = (await client.call("GET", "/pipelines"))[1]["pipelines"]
        assert "log_tail" not in noop
        assert "environment" not in noop
        assert noop["params_schema"]["properties"]
        assert len(await streams(run, http)) == 2
        assert (await client.call("DELETE", f"/streams/{mine}"))[0] == 200
        await until(lambda: not entry.sessions)


async def test_a_session_needs_no_bearer_token_and_gives_none(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch, "--auth-token", TOKEN) as run:
        client = await Client.reserve(http, orch, await ready_entry(orch))
        mine = (await client.start())["request_id"]
        sent = headers(orch, client, Livepeer_Session_Token="guessed")
        for method in ("GET", "PATCH", "DELETE"):
            path = f"/streams/{mine}" + ("/params" if method == "PATCH" else "")
            async with http.request(method, run.url + path, headers=sent, json={}) as answer:
                assert answer.status == 403, (method, await answer.text())
        assert (await post(http, run, sent))[0] == 401
        assert (await run.call(http, "DELETE", f"/streams/{mine}"))[0] == 401
        assert (await client.call("PATCH", f"/streams/{mine}/params", {"show_reloading_frame": False}))[
            0
        ] == 200
        assert (await client.call("DELETE", f"/streams/{mine}"))[0] == 200


async def test_headers_that_nobody_vouches_for_are_refused(http: aiohttp.ClientSession) -> None:
    async with (
        Orchestrator.running() as orch,
        Orchestrator.running() as stranger,
        registered_runner(orch) as run,
    ):
        client = await Client.reserve(http, orch, await ready_entry(orch))
        good = headers(orch, client)
        control = good["Livepeer-Session-Control"]
        forged = [
            ({"Livepeer_Session_Token": "guessed"}, 401),
            ({"Livepeer_Session_Control": control.replace(orch.internal_url, stranger.url)}, 403),
            ({"Livepeer_Session_Control": f"{control}/../../../../elsewhere"}, 403),
            ({"Livepeer_Session_Control": "file:///etc/passwd"}, 403),
            ({"Livepeer_Session_Control": "http://[broken"}, 403),
            ({"Livepeer_Session_Id": "session_other"}, 403),
            ({"Livepeer_Session_Token": ""}, 400),
        ]
        for changes, expected in forged:
            status, text = await post(http, run, headers(orch, client, **changes))
            assert (status, changes) == (expected, changes), text
        assert stranger.seen == [], "a stranger was asked"
        body = {"subscribe_url": "http://10.0.0.1/x", "publish_url": "http://10.0.0.1/y"}
        assert (await post(http, run, good, body))[0] == 422
        assert (await post(http, run, good, {"model_id": "effects"}))[0] == 400
        assert await streams(run, http) == []
        assert (await post(http, run, good, {"params": SIZE}))[0] == 200


async def test_a_failed_start_can_be_repeated_in_the_same_session(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        await run.wait_health(http, "IDLE")
        entry = await ready_entry(orch)
        client = await Client.reserve(http, orch, entry)
        status, answer = await client.call("POST", "/live-video-to-video", {"params": {"width": 7}})
        assert status == 400
        assert "width" in answer["detail"]["msg"]
        await until(lambda: entry.sessions[client.session_id].channels == {})
        assert (await client.start())["publish_url"]


async def test_no_free_worker_is_503_and_two_starts_at_once_make_one_stream(
    http: aiohttp.ClientSession,
) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        await run.wait_health(http, "IDLE")
        client = await Client.reserve(http, orch, await ready_entry(orch))
        taken = await start(run, http)
        status, answer = await client.call("POST", "/live-video-to-video", {"params": SIZE})
        assert status == 503
        assert "insufficient capacity" in answer["detail"]["msg"]
        await run.call(http, "DELETE", f"/streams/{taken}")
        body = {"params": SIZE}
        both = await asyncio.gather(*(client.call("POST", "/live-video-to-video", body) for _ in range(2)))
        assert sorted(status for status, _ in both) in ([200, 200], [200, 409])
        assert len(await streams(run, http)) == 1


async def test_a_static_entry_needs_no_secret_and_its_health_check_is_ready(
    http: aiohttp.ClientSession,
) -> None:
    async with Orchestrator.running() as orch:
        arguments = ("--pipeline", "noop", "--orchestrator", orch.internal_url)
        async with runner(*arguments) as run:
            entry = orch.add_static("by-hand", run.url)
            async with asyncio.timeout(20):
                while True:
                    async with http.get(f"{run.url}/ready") as answer:
                        if answer.status == 200:
                            break
                        assert answer.status == 503
                    await asyncio.sleep(0.05)
            client = await Client.reserve(http, orch, entry)
            answer = await client.start()
            assert answer["subscribe_url"].startswith(orch.url)
            assert [seen for seen in orch.seen if seen.path == "/runners/heartbeat"] == []
            assert (await run.call(http, "GET", "/orchestrators"))[1] == {"registrations": []}
            await client.call("DELETE", f"/streams/{answer['request_id']}")
            await until(lambda: not entry.sessions)
            await (await Client.reserve(http, orch, entry)).start()
        assert entry.sessions == {}, "a stop releases the sessions of static entries too"


async def test_a_runner_without_orchestrators_refuses_sessions(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, runner("--pipeline", "noop") as run:
        client = await Client.reserve(http, orch, orch.add_static("by-hand", run.url))
        status, answer = await client.call("POST", "/live-video-to-video", {})
        assert status == 403
        assert "--orchestrator" in answer["detail"]["msg"]
        assert (await client.call("GET", "/health"))[0] == 200


async def test_a_shared_url_shows_and_steers_one_stream_and_ends_with_it(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        client = await Client.reserve(http, orch, await ready_entry(orch))
        answer = await client.start(share=True)
        assert client.session_id not in answer["share_url"]
        async with http.get(answer["share_url"]) as shown:
            assert (await shown.json())["id"] == answer["request_id"]
        async with http.patch(
            f"{answer['share_url']}/params", json={"show_reloading_frame": False}
        ) as patched:
            assert patched.status == 200
        await client.stop()
        await wait_streams(run, http, 0)
        async with http.get(answer["share_url"]) as gone:
            assert gone.status == 404


async def test_registrations_are_shown_without_secrets(http: aiohttp.ClientSession) -> None:
    async with Orchestrator.running() as orch, registered_runner(orch) as run:
        entry = await ready_entry(orch)
        client = await Client.reserve(http, orch, entry)
        async with asyncio.timeout(5):
            while True:
                _, answer = await run.call(http, "GET", "/orchestrators")
                (shown,) = answer["registrations"]
                if shown["sessions"]:
                    break
                await asyncio.sleep(0.05)
        assert shown | {"capacity": 0} == {
            "orchestrator": orch.url,
            "app": "live-video-to-video/noop",
            "state": "registered",
            "runner_id": entry.id,
            "status": "ready",
            "capacity": 0,
            "sessions": 1,
            "last_error": "",
        }
        assert client.session_id not in str(answer)


async def test_each_pipeline_is_registered_with_its_own_price_and_sold_for_nothing_else(
    http: aiohttp.ClientSession,
) -> None:
    arguments = ("--pipeline", "effects", "--price", "2", "--price", "effects=0.5", "--price-unit", "720p")
    async with Orchestrator.running() as orch, registered_runner(orch, *arguments):
        orch.priced = True
        await until(lambda: len(orch.entries) == 2 and all(entry.ready for entry in orch.entries.values()))
        by_app = {entry.body["app"].rpartition("/")[2]: entry for entry in orch.entries.values()}
        prices = {name: entry.body["price_info"] for name, entry in by_app.items()}
        assert prices == {
            "noop": {"price": 2.0, "currency": "usd", "unit": "720p"},
            "effects": {"price": 0.5, "currency": "usd", "unit": "720p"},
        }
        client = await Client.reserve(http, orch, by_app["effects"])
        status, answer = await client.call("POST", "/live-video-to-video", {"model_id": "noop"})
        assert status == 400
        assert "reserved for 'effects'" in answer["detail"]["msg"]
        started = await client.start()
        _, shown = await client.call("GET", f"/streams/{started['request_id']}")
        assert shown["model_id"] == "effects"


async def test_the_headers_of_a_payment_fit(http: aiohttp.ClientSession) -> None:
    async with runner("--pipeline", "noop") as run:
        async with http.get(f"{run.url}/health", headers={"Livepeer-Payment": "x" * 30_000}) as answer:
            assert answer.status == 200
