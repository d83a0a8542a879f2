"""One registration kept alive: heartbeats when they are due, the orchestrator's events, a clean leave."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final

from ..errors import PeerError, RunnerError
from .client import OrchestratorClient, OrchestratorRefusedError
from .lease import Ask, Lease, LeaseState, Timing
from .messages import Offer, Reply

log = logging.getLogger(__name__)

EVENTS_RETRY_S: Final = 1.0
EVENTS_RETRY_MAX_S: Final = 30.0

EventSource = Callable[[str], AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]]
"""Opens the JSON channel at a URL, keep-alives left out; raises `PeerError` when it cannot be read."""


class Registration:
    """Offers one app at one orchestrator. `run` it as a task; then `unregister`.

    :param offer: asked before each heartbeat
    :param events: opens the channel with session events
    :param on_released: called with the id of a session that is over, and why; once or more
    :param clock: seconds, monotonic
    """

    def __init__(
        self,
        client: OrchestratorClient,
        secret: str,
        offer: Callable[[Registration], Offer],
        events: EventSource,
        on_released: Callable[[str, str], None],
        *,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.client = client
        self.timing = timing or Timing()
        self.lease = Lease(secret, self.timing, jitter)
        self.sessions: frozenset[str] = frozenset()
        """Sessions that the orchestrator holds for this registration, as far as we were told."""
        self._offer, self._events, self._on_released, self._clock = offer, events, on_released, clock
        self._news: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    @property
    def runner_id(self) -> str:
        """The id under which the orchestrator knows us; empty before that."""
        return self.lease.runner_id

    def nudge(self) -> None:
        """Send a heartbeat soon: the offer has changed."""
        self.lease.nudge(self._clock())
        self._changed.set()

    async def run(self) -> None:
        """Register and stay registered until cancelled."""
        try:
            while True:
                await self._wait_due()
                try:
                    await self._beat()
                except Exception:  # ours: say so, and stay registered all the same
                    log.exception("heartbeat for %s failed", self.client)
                    self.lease.unreachable("internal error; the log has the traceback", self._clock())
        finally:
            await self._unfollow()

    async def unregister(self) -> None:
        """Leave the orchestrator, which releases the sessions; a failure is logged. `run` must have ended."""
        secret, self.sessions = self.lease.heartbeat_secret, frozenset()
        if not secret:
            return
        try:
            await self.client.unregister(self.runner_id, secret)
            log.info("left orchestrator %s", self.client)
        except PeerError as error:
            log.warning("could not leave the orchestrator, which will notice by itself: %s", error)

    # --- heartbeats -------------------------------------------------------------------------------------------------

    async def _wait_due(self) -> None:
        """Wait for the time of the next heartbeat; a nudge may bring it forward."""
        while (now_s := self._clock()) < self.lease.due_s:
            if self.lease.expire(now_s):
                self._lose("the orchestrator was not reached in time")
            wait_s = self.lease.due_s - now_s
            if self.lease.state is LeaseState.REGISTERED:
                wait_s = min(wait_s, max(self.lease.valid_until_s - now_s, 0.0))
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):  # wait_for of Python 3.11 can swallow a cancellation
                    await self._changed.wait()

    async def _beat(self) -> None:
        offer = self._offer(self)
        self._news.clear()
        ask = self.lease.ask(self._clock())
        try:
            reply = await self.client.heartbeat(offer.body(ask.runner_id), ask.secret)
            if ask.registers and not reply.heartbeat_secret:
                raise PeerError(f"{self.client} gave no heartbeat_secret")
        except OrchestratorRefusedError as error:
            self._refused(ask, error)
        except RunnerError as error:
            self._say_failed(error, first=self.lease.failures == 0)
            self.lease.unreachable(str(error), self._clock())
        else:
            await self._accepted(ask, offer, reply)

    async def _accepted(self, ask: Ask, offer: Offer, reply: Reply) -> None:
        if self.lease.failures and not ask.registers:
            log.info("orchestrator %s answers again", self.client)
        self.lease.accepted(reply, self._clock())
        if ask.registers:
            log.info("registered %s as %s with orchestrator %s", offer.app, reply.runner_id, self.client)
            await self._follow(reply.events_url)
        self._reconcile(offer, reply)

    def _reconcile(self, offer: Offer, reply: Reply) -> None:
        """Adopt the orchestrator's list; a session that began after the question was sent may be missing in it."""
        held = {id for id in reply.session_ids if self._news.get(id, True)}
        self.sessions = frozenset(held | {id for id, reserved in self._news.items() if reserved})
        for id in offer.session_ids:
            if id not in self.sessions:
                self._on_released(id, "the orchestrator does not list it")

    def _refused(self, ask: Ask, error: OrchestratorRefusedError) -> None:
        was, failures = self.lease.state, self.lease.failures
        self.lease.refused(ask, error.status, str(error), self._clock())
        if self.lease.state is LeaseState.REFUSED:
            self.lease.last_error = text = f"{error} ({_advice(error.status)})"
            log.log(logging.DEBUG if was is LeaseState.REFUSED else logging.ERROR, "registration: %s", text)
        elif was is LeaseState.REGISTERED and self.lease.state is LeaseState.REGISTERING:
            log.warning("the orchestrator has forgotten this runner, registering again: %s", error)
            self._lose("the orchestrator has forgotten this runner")
        elif self.lease.failures > failures:
            self._say_failed(error, first=failures == 0)

    def _say_failed(self, error: RunnerError, *, first: bool) -> None:
        log.log(logging.WARNING if first else logging.DEBUG, "no heartbeat, trying again: %s", error)

    def _lose(self, reason: str) -> None:
        """Without a registration no session of it is left: the orchestrator has released them."""
        lost, self.sessions = self.sessions | set(self._offer(self).session_ids), frozenset()
        for id in sorted(lost):
            self._on_released(id, reason)

    # --- the orchestrator's events ----------------------------------------------------------------------------------

    async def _follow(self, url: str) -> None:
        await self._unfollow()
        if url:
            url = self.client.reachable(url)
            self._following = asyncio.create_task(self._read_events(url), name="orchestrator events")

    async def _unfollow(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _read_events(self, url: str) -> None:
        """Follow the channel for as long as the registration lasts; its end is a reason to ask at once."""
        delay_s = EVENTS_RETRY_S
        while True:
            try:
                async with self._events(url) as messages:
                    async for message in messages:
                        self._take_event(message)
                        delay_s = EVENTS_RETRY_S
            except PeerError as error:  # its text would name the channel, which is a secret
                log.info("the orchestrator's event channel broke (%s)", type(error).__name__)
            self.nudge()
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, EVENTS_RETRY_MAX_S)

    def _take_event(self, message: dict[str, Any]) -> None:
        event, id = message.get("event"), message.get("session")
        if event not in ("reserved", "released") or not isinstance(id, str):
            return
        self._news[id] = event == "reserved"
        if event == "reserved":
            self.sessions |= {id}
        else:
            self.sessions -= {id}
            self._on_released(id, "the orchestrator released it")
        self.nudge()


def _advice(status: int) -> str:
    if status == 401:
        return "the secret must be the orchestrator's -orchSecret"
    if status == 404:
        return "it takes registrations when started with -useLiveRunners and -orchSecret"
    if status == 400:
        return "an orchestrator on a chain needs --price"
    return "is this the address of an orchestrator?"
