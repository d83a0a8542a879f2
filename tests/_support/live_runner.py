"""A client of an orchestrator: reserves, starts, sends, watches, stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from ai_runner_base.testing.live import RunnerProcess, Viewer, runner, send
from tests._support.live import SIZE, clip
from tests._support.orchestrator import SECRET, Entry, Orchestrator

LIMIT_S = 15.0


async def until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.02)


def registered_runner(orch: Orchestrator, *arguments: str, pipeline: str = "noop") -> Any:
    """A runner process that registers."""
    secret = ("--orchestrator-secret", SECRET)
    return runner("--pipeline", pipeline, "--orchestrator", orch.url, *secret, *arguments)


async def ready_entry(orch: Orchestrator) -> Entry:
    """Wait until the only registered runner takes sessions."""
    await until(lambda: len(orch.entries) == 1 and orch.only().ready)
    return orch.only()


@dataclass
class Client:
    """One reserved session."""

    http: aiohttp.ClientSession
    session_id: str
    app_url: str
    control_url: str

    @classmethod
    async def reserve(cls, http: aiohttp.ClientSession, orch: Orchestrator, entry: Entry) -> Client:
        async with http.post(f"{orch.url}/apps/{entry.id}/session") as answer:
            assert answer.status == 200, await answer.text()
            return cls(http, **await answer.json())

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(method, self.app_url + path, json=body) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    async def start(self, **body: Any) -> dict[str, Any]:
        status, answer = await self.call("POST", "/live-video-to-video", {"params": SIZE, **body})
        assert status == 200, answer
        return dict(answer)

    async def stream(self, answer: dict[str, Any], seconds: int = 2) -> Viewer:
        """Send a clip to its end and return what came back."""
        viewer = Viewer()
        watching = asyncio.create_task(viewer.watch(self.http, answer["subscribe_url"]))
        await send(self.http, answer["publish_url"], clip(seconds))
        await asyncio.wait_for(watching, LIMIT_S)
        return viewer

    async def stop(self) -> None:
        async with self.http.post(f"{self.control_url}/stop") as answer:
            assert answer.status == 204


async def streams(run: RunnerProcess, http: aiohttp.ClientSession) -> list[Any]:
    return list((await run.call(http, "GET", "/streams"))[1]["streams"])


async def wait_streams(run: RunnerProcess, http: aiohttp.ClientSession, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(await streams(run, http)) != count:
            await asyncio.sleep(0.05)
