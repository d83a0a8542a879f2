"""The runner as a Live Runner: registered with orchestrators, or entered there by hand, serving their sessions.

One registration for each pipeline at each orchestrator, since a registration has one app and one price.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import aiohttp

from ..errors import CallerError
from ..orchestrator import (
    Offer,
    OrchestratorClient,
    Price,
    Registration,
    SessionHeaders,
    Timing,
)
from ..stream import Connector, Runner, Seat
from ..trickle import ClientOptions, JsonSubscriber, Subscriber, TlsPolicy
from . import hardware
from .live_offer import Costs, Slots, count_slots, describe, gpu_of
from .live_schemas import RegistrationStatus, SessionAnswer, SessionStart
from .live_sessions import LiveSession, LiveSessions, SessionError
from .schemas import GpuInfo

log = logging.getLogger(__name__)

APP_PREFIX: Final = "live-video-to-video/"
LEAVE_LIMIT_S: Final = 2.0


@dataclass(frozen=True)
class OrchestratorPeer:
    """One orchestrator as the operator named it.

    :param secret: its ``-orchSecret``; empty: do not register, but serve the sessions of its static entries
    :param runner_url: where it reaches this runner
    """

    url: str
    runner_url: str
    secret: str = field(default="", repr=False)
    tls: TlsPolicy = field(default_factory=TlsPolicy.verify)


@dataclass(frozen=True)
class LiveRunnerOptions:
    """What is offered to whom.

    :param prices: by pipeline; "" is for all others; none: nothing is paid
    :param facts: by pipeline: what its metadata tells of the installation (package, version, build, environment)
    :param costs: by pipeline: ms per frame (p50, p95) and size, as measured on this host before; none: not measured
    """

    peers: tuple[OrchestratorPeer, ...]
    prices: Mapping[str, Price] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    costs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True)
class _Offered:
    """One registration and what it is for."""

    registration: Registration
    pipeline: str


class LiveRunner:
    """Owns the registrations and the sessions.

    :param http: for orchestrators; closed by the caller, after `aclose`
    """

    def __init__(
        self, runner: Runner, connector: Connector, http: aiohttp.ClientSession, options: LiveRunnerOptions
    ) -> None:
        self._runner, self._http, self._options = runner, http, options
        self.sessions = LiveSessions(runner, connector, self._changed)
        self._clients = [
            (OrchestratorClient(http, peer.url, peer.tls, options.timing.request_timeout_s), peer)
            for peer in options.peers
        ]
        self._costs = Costs(runner, options.costs)
        self._closing = False
        self._gpus: dict[str, GpuInfo] = {}
        self._offered = [
            _Offered(self._register(client, peer, pipeline), pipeline)
            for client, peer in self._clients
            if peer.secret
            for pipeline in runner.pool.names
        ]
        self._tasks: list[asyncio.Task[None]] = []

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to register; returns at once, and nothing that an orchestrator does stops the runner."""
        self._gpus = await asyncio.to_thread(hardware.gpu_info)
        for client, peer in self._clients:
            log.info(
                "orchestrator %s may send sessions to %s%s",
                client,
                peer.runner_url,
                "" if peer.secret else "; no secret is given, so it needs a static entry for them",
            )
        self._tasks = [
            asyncio.create_task(one.registration.run(), name=f"registration {one.pipeline}")
            for one in self._offered
        ]

    def drain(self) -> None:
        """Take no new sessions; those that run may go on."""
        self._closing = True
        self._changed()

    async def leave(self) -> None:
        """Leave all orchestrators, within a limit. They release their sessions."""
        self._closing = True
        for one in self._offered:
            self.sessions.forget(one.registration.client, one.registration.runner_id)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        leaving = [asyncio.create_task(one.registration.unregister()) for one in self._offered]
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=LEAVE_LIMIT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def aclose(self) -> None:
        """Send the last callbacks, within a limit; after `leave`, when the runner's streams have ended."""
        await self.sessions.aclose()

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def start_session(self, headers: SessionHeaders, wanted: SessionStart) -> SessionAnswer:
        """Start the stream of a session.

        :raises SessionError: with the status for the session's client
        :raises CallerError: unknown pipeline or refused parameters
        """
        if self._closing:
            raise SessionError("the runner shuts down", 503, hint="try another runner")
        client, peer = self._trusted(headers)
        pipeline = self._pipeline(client, headers, wanted.model_id)
        return await self.sessions.start(headers, client, pipeline, wanted, peer.runner_url)

    def session(self, headers: SessionHeaders) -> LiveSession | None:
        """Return the running session that a request's headers prove to belong to."""
        session = self.sessions.by_id.get(headers.session_id)
        return session if session is not None and session.owns(headers) else None

    def public_pipelines(self) -> list[dict[str, Any]]:
        """Return what a client needs to choose parameters; no paths, no log lines."""
        keys = ("name", "package", "version", "params_schema", "default_params")
        return [{key: item[key] for key in keys} for item in self._runner.describe_pipelines()]

    def _trusted(self, headers: SessionHeaders) -> tuple[OrchestratorClient, OrchestratorPeer]:
        for client, peer in self._clients:
            if headers.is_under(client.addresses):
                return client, peer
        raise SessionError(
            f"session control {headers.control} is not at an orchestrator that this runner was given",
            403,
            hint="give the address that it advertises to runners (-liveRunnerAddr) with --orchestrator",
        )

    def _pipeline(self, client: OrchestratorClient, headers: SessionHeaders, model_id: str) -> str:
        """A session that was reserved, and is paid, for one pipeline gets no other; a static entry says none."""
        reserved = [
            one.pipeline
            for one in self._offered
            if one.registration.client is client and one.registration.runner_id == headers.route
        ]
        if reserved and model_id not in ("", reserved[0]):
            raise CallerError(
                f"the session was reserved for {reserved[0]!r}, not for {model_id!r}",
                hint="leave model_id out",
            )
        return reserved[0] if reserved else model_id

    # --- what orchestrators are told --------------------------------------------------------------------------------

    def describe(self) -> list[RegistrationStatus]:
        """Return where each registration stands."""
        return [self._describe(one) for one in self._offered]

    def _describe(self, one: _Offered) -> RegistrationStatus:
        slots, lease = self._slots(one.registration, one.pipeline), one.registration.lease
        return RegistrationStatus(
            orchestrator=str(one.registration.client),
            app=f"{APP_PREFIX}{one.pipeline}",
            state=lease.state.value,
            runner_id=lease.runner_id,
            status=slots.status,
            capacity=slots.capacity,
            sessions=len(one.registration.sessions),
            last_error=lease.last_error,
        )

    def _register(self, client: OrchestratorClient, peer: OrchestratorPeer, pipeline: str) -> Registration:
        def events(url: str) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
            options = ClientOptions(
                tls=peer.tls, retries=0
            )  # the registration retries, without naming the URL
            reader = Subscriber(self._http, url, start=0, options=options)
            return cast(AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]], JsonSubscriber(reader))

        return Registration(
            client,
            peer.secret,
            lambda registration: self._offer(registration, peer, pipeline),
            events,
            lambda id, reason: self.sessions.release(client, id, reason),
            timing=self._options.timing,
        )

    def _offer(self, registration: Registration, peer: OrchestratorPeer, pipeline: str) -> Offer:
        slots, options = self._slots(registration, pipeline), self._options
        seats, facts = self._seats(pipeline), options.facts.get(pipeline, {})
        return Offer(
            runner_url=peer.runner_url,
            app=f"{APP_PREFIX}{pipeline}",
            version=str(facts.get("version", "")),
            status=slots.status,
            capacity=slots.capacity,
            gpu=gpu_of(seats, self._gpus),
            price=options.prices.get(pipeline, options.prices.get("")),
            metadata=describe(facts, len(seats), self._costs.of(pipeline)),
            session_ids=self.sessions.running(registration.client, registration.runner_id),
        )

    def _slots(self, registration: Registration, pipeline: str) -> Slots:
        offered = [one.registration for one in self._offered if one.pipeline == pipeline]
        promised = sum(len(one.sessions - set(self.sessions.by_id)) for one in offered)
        return count_slots(
            self._seats(pipeline), held=len(registration.sessions), promised=promised, closing=self._closing
        )

    def _seats(self, pipeline: str) -> list[Seat]:
        return [seat for seat in self._runner.pool if seat.name == pipeline]

    def _changed(self) -> None:
        for one in self._offered:
            one.registration.nudge()
