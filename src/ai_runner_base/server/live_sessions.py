"""Sessions of orchestrators: each has its channels, made by callback, and one stream that begins and ends with it."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from ..errors import CapacityError, PeerError
from ..orchestrator import (
    Channel,
    OrchestratorClient,
    OrchestratorRefusedError,
    SessionControl,
    SessionHeaders,
)
from ..stream import Connector, LiveStream, Runner, Seat, Stream, StreamRequest
from ..trickle import TlsPolicy
from .live_schemas import SessionAnswer, SessionStart

log = logging.getLogger(__name__)

VIDEO_MIME: Final = "video/mp2t"
JSON_MIME: Final = "application/json"
CHANNELS: Final = {"in": VIDEO_MIME, "out": VIDEO_MIME, "control": JSON_MIME, "events": JSON_MIME}
STOP_DELAYS_S: Final = (0.0, 1.0, 3.0)
CLOSE_LIMIT_S: Final = 1.5

_T = TypeVar("_T")


class SessionError(PeerError):
    """A session that cannot be served; the status is meant for the session's client.

    :param status: HTTP status
    """

    def __init__(self, message: str, status: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.http_status = status


@dataclass
class LiveSession:
    """One session with a running stream.

    :param released: the orchestrator knows that it is over
    """

    headers: SessionHeaders
    client: OrchestratorClient
    control: SessionControl
    stream: Stream
    answer: SessionAnswer
    released: bool = False

    def owns(self, headers: SessionHeaders) -> bool:
        """Whether a request's headers carry this session's token."""
        return hmac.compare_digest(self.headers.token.encode(), headers.token.encode())


@dataclass
class _Watched:
    """A stream with its ends, that tells when it is over."""

    inner: LiveStream
    on_end: Callable[[], None]
    stream: Stream = field(init=False)

    def __post_init__(self) -> None:
        self.stream = self.inner.stream

    async def run(self) -> None:
        try:
            await self.inner.run()
        finally:
            self.on_end()


class LiveSessions:
    """Starts and ends sessions.

    :param connector: its TLS policy is replaced by the orchestrator's, which serves the channels
    :param on_change: told when a worker was taken or given back
    """

    def __init__(self, runner: Runner, connector: Connector, on_change: Callable[[], None]) -> None:
        self.by_id: dict[str, LiveSession] = {}
        self._runner, self._connector, self._on_change = runner, connector, on_change
        self._starting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def running(self, client: OrchestratorClient, route: str) -> tuple[str, ...]:
        """Return the ids of the sessions that came by one registration."""
        return tuple(
            id for id, one in self.by_id.items() if one.client is client and one.headers.route == route
        )

    # --- start --------------------------------------------------------------------------------------------------------

    async def start(
        self,
        headers: SessionHeaders,
        client: OrchestratorClient,
        pipeline: str,
        wanted: SessionStart,
        own_url: str,
    ) -> SessionAnswer:
        """Start the session's stream, or answer again for one that runs: clients repeat a request they lost.

        The channels are made first. That the orchestrator makes them is the proof of the session's token.

        :param own_url: this runner's address as the orchestrator uses it
        :raises SessionError: with the status for the client
        :raises CallerError: unknown pipeline or refused parameters
        """
        existing = self.by_id.get(headers.session_id)
        if existing is not None:
            if not existing.owns(headers):
                raise SessionError("wrong session token", 401)
            if existing.released:
                raise SessionError("the session is over", 404)
            return existing.answer
        if headers.session_id in self._starting:
            raise SessionError("the session is being started", 409, hint="wait for the first answer")
        self._starting.add(headers.session_id)
        try:
            return await self._start(headers, client, pipeline, wanted, own_url)
        finally:
            self._starting.discard(headers.session_id)

    async def _start(
        self,
        headers: SessionHeaders,
        client: OrchestratorClient,
        pipeline: str,
        wanted: SessionStart,
        own_url: str,
    ) -> SessionAnswer:
        control = SessionControl(client, headers)
        channels = await _asked(control.create_channels(CHANNELS))
        request = _request(headers, pipeline, wanted, channels)
        try:
            stream = await self._runner.start_stream(request, self._connect(client, headers.session_id))
        except BaseException as error:
            self._spawn(_give_back(control), "session channels back")
            if isinstance(error, CapacityError):
                raise SessionError(error.message, 503, hint="try another runner") from error
            raise
        answer = _answer(headers, stream, channels)
        session = LiveSession(headers, client, control, stream, answer)
        self.by_id[headers.session_id] = session
        self._on_change()
        if wanted.share:
            answer.share_url = await self._share(session, f"{own_url}/streams/{stream.id}")
        return answer

    def _connect(
        self, client: OrchestratorClient, session_id: str
    ) -> Callable[[StreamRequest, str, Seat], _Watched]:
        trust = client.trust
        tls = trust if isinstance(trust, TlsPolicy) else TlsPolicy.verify()
        connector = replace(self._connector, client=replace(self._connector.client, tls=tls))

        def connect(request: StreamRequest, id: str, seat: Seat) -> _Watched:
            return _Watched(connector.connect(request, id, seat), lambda: self._ended(session_id))

        return connect

    async def _share(self, session: LiveSession, target: str) -> str:
        try:
            return await _asked(session.control.create_proxy(target))
        except SessionError:
            session.stream.stop("the orchestrator made no URL to share")
            raise

    # --- end ----------------------------------------------------------------------------------------------------------

    def release(self, client: OrchestratorClient, session_id: str, reason: str) -> None:
        """End a session that its orchestrator has released; another orchestrator's sessions are left alone."""
        session = self.by_id.get(session_id)
        if session is not None and session.client is client and not session.released:
            session.released = True
            self._spawn(self._runner.stop_stream(session.stream.id, reason), "session release")

    def forget(self, client: OrchestratorClient, route: str) -> None:
        """Note that an orchestrator releases the sessions of a registration, because the runner leaves it."""
        for id in self.running(client, route):
            self.by_id[id].released = True

    def _ended(self, session_id: str) -> None:
        """The stream is over: release the session too, so that nobody pays for nothing."""
        session = self.by_id.pop(session_id, None)
        self._on_change()
        if session is not None and not session.released:
            self._spawn(_stop(session.control), "session stop")

    async def aclose(self) -> None:
        """Let the last callbacks go out, within a limit. The streams have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_LIMIT_S)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _request(
    headers: SessionHeaders, pipeline: str, wanted: SessionStart, channels: dict[str, Channel]
) -> StreamRequest:
    """The stream gets an id of its own: whoever knows a session's id can stop it at the orchestrator."""
    return StreamRequest(
        subscribe_url=channels["in"].internal_url,
        publish_url=channels["out"].internal_url,
        control_url=channels["control"].internal_url,
        events_url=channels["events"].internal_url,
        model_id=pipeline,
        params=wanted.params,
        manifest_id=headers.session_id,
    )


def _answer(headers: SessionHeaders, stream: Stream, channels: dict[str, Channel]) -> SessionAnswer:
    return SessionAnswer(
        publish_url=channels["in"].url,
        subscribe_url=channels["out"].url,
        control_url=channels["control"].url,
        events_url=channels["events"].url,
        request_id=stream.id,
        manifest_id=headers.session_id,
        session_id=headers.session_id,
    )


async def _asked(call: Awaitable[_T]) -> _T:
    """Wait for a callback; what goes wrong gets the status that the session's client should see."""
    try:
        return await call
    except OrchestratorRefusedError as error:
        status = error.status if error.status in (401, 404) else 502
        raise SessionError(f"the orchestrator refuses this session: {error.message}", status) from error
    except PeerError as error:
        raise SessionError(error.message, 502, hint=error.hint) from error


async def _give_back(control: SessionControl) -> None:
    """End the channels of a session whose stream did not start; the client may try again."""
    try:
        await control.delete_channels(list(CHANNELS))
    except PeerError as error:
        log.debug("session channels: %s", error)


async def _stop(control: SessionControl) -> None:
    error: PeerError | None = None
    for delay_s in STOP_DELAYS_S:
        await asyncio.sleep(delay_s)
        try:
            return await control.stop()
        except OrchestratorRefusedError as refused:
            if refused.status in (401, 404):
                return None
            error = refused
        except PeerError as unreachable:
            error = unreachable
    log.warning("a session's stream is over but the orchestrator was not told: %s", error)
    return None
