"""An orchestrator with live runners, as go-livepeer's registry behaves (ai/runner/live_runner.go, server/ai_http.go).

Off chain: no payments. What is copied on purpose: an unknown runner id with a wrong secret is 401 and an expired one
404; the heartbeat secret and the event channel come with the first registration only; nothing of a runner that is
not ``ready`` answers; leaving and expiring release all sessions. Errors are plain text.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp
from aiohttp import web

from ai_runner_base.trickle import BASE_PATH, LocalPublisher, ServerOptions, TrickleServer, client_session

SECRET = "orch-secret-7f3a"
KEEP_ALIVE_S = 0.25
MAX_CHANNELS = 25
HOP_HEADERS = {"host", "content-length", "transfer-encoding", "connection"}


@dataclass
class Session:
    id: str
    token: str
    channels: dict[str, str] = field(default_factory=dict)
    """Mime types by name."""
    proxies: dict[str, str] = field(default_factory=dict)


@dataclass
class Entry:
    """One registered runner."""

    id: str
    body: dict[str, Any]
    secret: str
    events: LocalPublisher | None = None
    events_name: str = ""
    seen_s: float = field(default_factory=time.monotonic)
    static: bool = False
    sessions: dict[str, Session] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.body.get("status", "") in ("", "ready")

    @property
    def capacity(self) -> int:
        return int(self.body.get("capacity") or 1)


@dataclass(frozen=True)
class Seen:
    """A request that a runner made."""

    path: str
    authorization: str
    token: str
    body: Any


class Orchestrator:
    """Use `running`. `mode` bends the answers: ok, 503, 400, slow, garbage, no-secret."""

    def __init__(
        self, *, interval: str = "200ms", ttl: str = "1.5s", tls: ssl.SSLContext | None = None
    ) -> None:
        self.interval, self.ttl = interval, ttl
        self.secret, self.mode = SECRET, "ok"
        self.priced = False
        self.entries: dict[str, Entry] = {}
        self.seen: list[Seen] = []
        self.unregistered: list[str] = []
        self.port = 0
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._http: aiohttp.ClientSession | None = None
        self.trickle = TrickleServer()
        self._stopping = asyncio.Event()

    # --- life ---

    @classmethod
    @asynccontextmanager
    async def running(cls, **options: Any) -> AsyncIterator[Self]:
        one = cls(**options)
        await one.start()
        try:
            yield one
        finally:
            await one.stop()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        """What -liveRunnerAddr would say; another name of the same server."""
        return self.url.replace("127.0.0.1", "localhost")

    async def start(self) -> None:
        """Begin to serve, with an empty memory; on the same port as before."""
        self._stopping.clear()
        self.entries, self.trickle = (
            {},
            TrickleServer(options=ServerOptions(departure_check_s=0.2, linger_s=0.2)),
        )
        app = web.Application()
        self.trickle.attach(app)
        app.add_routes(self._routes())
        self._http = client_session()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self._tls
        ).start()
        self.port = self._runner.addresses[0][1]
        self._tasks = [asyncio.create_task(self._keep_alive()), asyncio.create_task(self._expire())]

    async def stop(self) -> None:
        """Vanish."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    async def restart(self) -> None:
        """Lose all memory, as a process that starts again."""
        await self.stop()
        await self.start()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            for entry in list(self.entries.values()):
                await self._tell(entry, {"keep": "alive"})

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            for entry in [e for e in self.entries.values() if self._expired(e)]:
                await self._remove(entry)

    def _expired(self, entry: Entry) -> bool:
        return not entry.static and time.monotonic() - entry.seen_s > float(re.sub(r"s$", "", self.ttl))

    async def _tell(self, entry: Entry, message: dict[str, Any]) -> None:
        if entry.events is not None:
            with suppress(Exception):
                async with entry.events.segment() as write:
                    await write(json.dumps(message).encode())

    async def _remove(self, entry: Entry) -> None:
        self.entries.pop(entry.id, None)
        for id in list(entry.sessions):
            await self.release(entry, id)
        if entry.events is not None:
            await entry.events.aclose(delete=True)

    # --- what a test, as the client or the operator, does ---

    def only(self) -> Entry:
        (entry,) = self.entries.values()
        return entry

    def add_static(self, label: str, runner_url: str, app: str = "app") -> Entry:
        body = {"runner_url": runner_url, "app": app, "capacity": 1, "status": "ready"}
        self.entries[label] = Entry(label, body, "", static=True)
        return self.entries[label]

    async def release(self, entry: Entry, id: str, *, tell: bool = True) -> None:
        session = entry.sessions.pop(id, None)
        if session is None:
            return
        if tell:
            await self._tell(entry, _event("released", id))
        for name in session.channels:
            self.trickle.close(f"{id}-{name}")

    def app_url(self, entry: Entry, session_id: str) -> str:
        return f"{self.url}/apps/{entry.id}/session/{session_id}/app"

    # --- HTTP ---

    def _routes(self) -> list[web.RouteDef]:
        runner = "/runner/{runner}/session/{session}"
        return [
            web.post("/runners/heartbeat", self._heartbeat),
            web.post("/runners/{runner}/unregister", self._unregister),
            web.post(f"{runner}/channels", self._create_channels),
            web.delete(f"{runner}/channels", self._delete_channels),
            web.post(f"{runner}/proxy", self._create_proxy),
            web.post(f"{runner}/stop", self._stop_session),
            web.post("/apps/{runner}/session", self._reserve),
            web.post("/apps/{runner}/session/{session}/stop", self._client_stop),
            web.route("*", "/apps/{runner}/session/{session}/app{path:.*}", self._proxy_app),
            web.route("*", "/run/{proxy}{path:(/.*)?}", self._proxy_run),
        ]

    async def _heartbeat(self, request: web.Request) -> web.Response:
        body = await request.json()
        auth = request.headers.get("Authorization", "")
        self.seen.append(Seen(request.path, auth, "", body))
        bent = await self._bent()
        if bent is not None:
            return bent
        _check(body, priced=self.priced)
        id = body.get("runner_id") or f"runner_{secrets.token_hex(4)}"
        entry = self.entries.get(id)
        first: dict[str, Any] = {}
        if entry is None:
            if auth != self.secret:
                raise web.HTTPUnauthorized(text="invalid registration authorization")
            entry = self._register(id, body)
            first = {
                "heartbeat_secret": entry.secret,
                "o2r": self._channel(entry.events_name, "o2r", bare=True),
            }
            if self.mode == "no-secret":
                first = {}
        elif self._expired(entry):
            raise web.HTTPNotFound(text="runner not found")
        elif auth != entry.secret:
            raise web.HTTPUnauthorized(text="invalid heartbeat authorization")
        entry.body, entry.seen_s = body, time.monotonic()
        answer = {
            "runner_id": id,
            "orchestrator": self.internal_url,
            "heartbeat_interval": self.interval,
            "heartbeat_ttl": self.ttl,
            "session_ids": list(entry.sessions),
            **first,
        }
        return web.json_response(answer)

    async def _bent(self) -> web.Response | None:
        if self.mode == "slow":
            await self._stopping.wait()
        if self.mode.isdigit():
            return web.Response(status=int(self.mode), text="bent on purpose")
        return web.Response(text="<html>not json") if self.mode == "garbage" else None

    def _register(self, id: str, body: dict[str, Any]) -> Entry:
        entry = Entry(id, body, secrets.token_hex(16))
        entry.events_name = f"{id}-{secrets.token_hex(8)}-o2r"
        self.trickle.create(entry.events_name, "application/json")
        entry.events = self.trickle.publish(entry.events_name)
        self.entries[id] = entry
        return entry

    def _channel(
        self, channel: str, name: str, mime: str = "application/json", *, bare: bool = False
    ) -> dict[str, str]:
        internal = f"{self.internal_url}{BASE_PATH}/{channel}"
        if bare:
            return {"name": name, "channel_name": channel, "url": internal, "mime_type": mime}
        public = f"{self.url}{BASE_PATH}/{channel}"
        return {
            "name": name,
            "channel_name": channel,
            "url": public,
            "internal_url": internal,
            "mime_type": mime,
        }

    async def _unregister(self, request: web.Request) -> web.Response:
        entry = self._entry(request, ready=False)
        auth = request.headers.get("Authorization", "")
        self.seen.append(Seen(request.path, auth, "", None))
        if auth != entry.secret:
            raise web.HTTPUnauthorized(text="invalid authorization")
        self.unregistered.append(entry.id)
        await self._remove(entry)
        return web.Response(status=204)

    def _entry(self, request: web.Request, *, ready: bool = True) -> Entry:
        entry = self.entries.get(request.match_info["runner"])
        if entry is None or self._expired(entry) or (ready and not entry.ready):
            raise web.HTTPNotFound(text="runner not found")
        return entry

    def _session(self, request: web.Request) -> tuple[Entry, Session]:
        entry = self._entry(request)
        session = entry.sessions.get(request.match_info["session"])
        if session is None:
            raise web.HTTPNotFound(text="runner session not found")
        return entry, session

    async def _callback(self, request: web.Request) -> tuple[Entry, Session, Any]:
        token = request.headers.get("Livepeer-Session-Token", "")
        body = await request.json() if request.can_read_body and await request.read() else None
        self.seen.append(Seen(request.path, "", token, body))
        entry, session = self._session(request)
        if token != session.token:
            raise web.HTTPUnauthorized(text="invalid authorization")
        return entry, session, body

    async def _create_channels(self, request: web.Request) -> web.Response:
        _, session, body = await self._callback(request)
        wanted = (body or {}).get("channels") or []
        if not wanted or len(wanted) > MAX_CHANNELS:
            raise web.HTTPBadRequest(text="channels is required")
        made = []
        for item in wanted:
            name = item["name"]
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise web.HTTPBadRequest(text="trickle channel name may only contain alphanumerics")
            mime = session.channels.setdefault(name, item.get("mime_type") or "application/octet-stream")
            self.trickle.create(f"{session.id}-{name}", mime)
            made.append(self._channel(f"{session.id}-{name}", name, mime))
        return web.json_response({"channels": made})

    async def _delete_channels(self, request: web.Request) -> web.Response:
        _, session, body = await self._callback(request)
        for name in body["channels"]:
            if session.channels.pop(name, None) is None:
                raise web.HTTPNotFound(text="trickle channel not found")
            self.trickle.close(f"{session.id}-{name}")
        return web.json_response({"deleted": body["channels"]})

    async def _create_proxy(self, request: web.Request) -> web.Response:
        entry, session, body = await self._callback(request)
        target = (body or {}).get("target_url") or entry.body["runner_url"]
        if aiohttp.client.URL(target).host != aiohttp.client.URL(entry.body["runner_url"]).host:
            raise web.HTTPBadRequest(text="target_url hostname must match registered runner_url hostname")
        id = secrets.token_hex(8)
        session.proxies[id] = target
        return web.json_response({"proxy_id": id, "url": f"{self.url}/run/{id}"})

    async def _stop_session(self, request: web.Request) -> web.Response:
        entry, session, _ = await self._callback(request)
        await self.release(entry, session.id)
        return web.Response(status=204)

    async def _reserve(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        if len(entry.sessions) >= entry.capacity:
            raise web.HTTPServiceUnavailable(text="no capacity available for runner")
        session = Session(f"session_{secrets.token_hex(4)}", secrets.token_hex(16))
        entry.sessions[session.id] = session
        await self._tell(entry, _event("reserved", session.id))
        control = f"{self.url}/apps/{entry.id}/session/{session.id}"
        return web.json_response(
            {"session_id": session.id, "app_url": self.app_url(entry, session.id), "control_url": control}
        )

    async def _client_stop(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        await self.release(entry, request.match_info["session"])
        return web.Response(status=204)

    async def _proxy_app(self, request: web.Request) -> web.Response:
        entry, session = self._session(request)
        return await self._forward(request, entry, session, entry.body["runner_url"])

    async def _proxy_run(self, request: web.Request) -> web.Response:
        for entry in self.entries.values():
            for session in entry.sessions.values():
                target = session.proxies.get(request.match_info["proxy"])
                if target and entry.ready:
                    return await self._forward(request, entry, session, target)
        raise web.HTTPNotFound(text="live runner proxy not found")

    async def _forward(
        self, request: web.Request, entry: Entry, session: Session, target: str
    ) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_HEADERS}
        headers |= {
            "Livepeer-Runner-Route": entry.id,
            "Livepeer-Session-Id": session.id,
            "Livepeer-Session-Token": session.token,
            "Livepeer-Session-Control": f"{self.internal_url}/runner/{entry.id}/session/{session.id}",
        }
        assert self._http is not None
        url = target.rstrip("/") + request.match_info["path"]
        if request.query_string:
            url += f"?{request.query_string}"
        body = await request.read()
        try:
            async with self._http.request(request.method, url, headers=headers, data=body or None) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    headers={"Content-Type": answer.headers.get("Content-Type", "text/plain")},
                )
        except aiohttp.ClientError as error:
            raise web.HTTPBadGateway(text=str(error)) from error


def _event(event: str, id: str) -> dict[str, str]:
    return {"event": event, "session": id, "timestamp": datetime.now(UTC).isoformat()}


def _check(body: dict[str, Any], *, priced: bool) -> None:
    """As normalizeHeartbeat."""
    if not str(body.get("runner_url", "")).startswith(("http://", "https://")):
        raise web.HTTPBadRequest(text="invalid runner_url")
    if not body.get("app") or body["app"] != body["app"].strip():
        raise web.HTTPBadRequest(text="app must be trimmed")
    if len(body.get("metadata", "").encode()) > 1024 or "�" in body.get("metadata", ""):
        raise web.HTTPBadRequest(text="metadata must be at most 1024 bytes")
    if body.get("status", "") != body.get("status", "").strip().lower():
        raise web.HTTPBadRequest(text="status must be lowercase and trimmed")
    if body.get("mode", "persistent") not in ("persistent", "single-shot"):
        raise web.HTTPBadRequest(text="mode must be persistent or single-shot")
    if body.get("capacity", 0) < 0:
        raise web.HTTPBadRequest(text="capacity must be >= 0")
    if priced and not (body.get("price_info") or {}).get("price"):
        raise web.HTTPBadRequest(text="price_info.price is required")
