"""A registration against an orchestrator that behaves as go-livepeer's, and misbehaves as networks do."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests._support import orchestrator as support
from tests._support.orchestrator import SECRET, Orchestrator

from ai_runner_base.orchestrator import LeaseState, Offer, OrchestratorClient, Registration, Timing, Trust
from ai_runner_base.trickle import ClientOptions, JsonSubscriber, Subscriber, TlsPolicy, client_session

pytestmark = pytest.mark.process

FAST = Timing(
    backoff_first_s=0.05, backoff_max_s=0.3, refused_s=0.3, interval_min_s=0.05, request_timeout_s=0.5
)
LIMIT_S = 8.0
CERTIFICATE = Path(support.__file__).with_name("self_signed.pem")


class Subject:
    """A registration as a task, with what it reported."""

    def __init__(self, http: aiohttp.ClientSession, url: str, secret: str, tls: Trust) -> None:
        self.local: set[str] = set()
        self.capacity = 2
        self.released: list[tuple[str, str]] = []
        client = OrchestratorClient(http, url, tls, FAST.request_timeout_s)
        self.registration = Registration(
            client,
            secret,
            self._offer,
            lambda url: JsonSubscriber(
                Subscriber(http, url, start=0, options=ClientOptions(tls=tls, retries=0))
            ),
            lambda id, reason: self.released.append((id, reason)),
            timing=FAST,
        )
        self.task = asyncio.create_task(self.registration.run())

    def _offer(self, registration: Registration) -> Offer:
        return Offer(
            runner_url="http://127.0.0.1:1",
            app="live-video-to-video/noop",
            version="1.2.3",
            status="ready",
            capacity=self.capacity,
            session_ids=tuple(sorted(self.local)),
        )

    @property
    def state(self) -> LeaseState:
        return self.registration.lease.state

    async def aclose(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def registering(url: str, secret: str = SECRET, tls: TlsPolicy | None = None) -> AsyncIterator[Subject]:
    async with client_session() as http:
        subject = Subject(http, url, secret, tls or TlsPolicy.verify())
        try:
            yield subject
        finally:
            await subject.aclose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def reserve(http: aiohttp.ClientSession, orch: Orchestrator) -> str:
    async with http.post(f"{orch.url}/apps/{orch.only().id}/session") as answer:
        assert answer.status == 200
        return str((await answer.json())["session_id"])


async def test_it_registers_with_the_bootstrap_secret_and_goes_on_with_its_own() -> None:
    async with Orchestrator.running() as orch, registering(orch.url) as subject:
        await until(lambda: len(orch.seen) >= 4)
        assert subject.state is LeaseState.REGISTERED
        entry = orch.only()
    assert [seen.authorization for seen in orch.seen[:3]] == [SECRET, entry.secret, entry.secret]
    assert orch.seen[0].body["runner_id"] == ""
    assert {seen.body["runner_id"] for seen in orch.seen[1:4]} == {entry.id}
    assert orch.seen[0].body["app"] == "live-video-to-video/noop"
    assert orch.seen[0].body["capacity"] == 2


async def test_reserved_and_released_sessions_are_known_at_once_and_told_again_in_replies() -> None:
    async with (
        Orchestrator.running(interval="20s", ttl="60s") as orch,
        registering(orch.url) as subject,
        client_session() as http,
    ):
        await until(lambda: subject.state is LeaseState.REGISTERED)
        id = await reserve(http, orch)
        await until(lambda: subject.registration.sessions == {id})
        subject.local.add(id)
        await orch.release(orch.only(), id)
        await until(lambda: subject.released)
        assert subject.released[0][0] == id
        assert subject.registration.sessions == frozenset()


async def test_a_local_session_that_the_orchestrator_does_not_list_is_dropped() -> None:
    async with (
        Orchestrator.running() as orch,
        registering(orch.url) as subject,
        client_session() as http,
    ):
        await until(lambda: subject.state is LeaseState.REGISTERED)
        kept = await reserve(http, orch)
        subject.local |= {kept, "session_of_old"}
        await until(lambda: subject.released)
        await asyncio.sleep(0.5)
        assert {id for id, _ in subject.released} == {"session_of_old"}


async def test_a_released_event_that_was_lost_is_made_good_by_the_next_heartbeat() -> None:
    async with (
        Orchestrator.running() as orch,
        registering(orch.url) as subject,
        client_session() as http,
    ):
        await until(lambda: subject.state is LeaseState.REGISTERED)
        id = await reserve(http, orch)
        await until(lambda: id in subject.registration.sessions)
        subject.local.add(id)
        await orch.release(orch.only(), id, tell=False)
        await until(lambda: subject.released)
        assert subject.released[0] == (id, "the orchestrator does not list it")


async def test_an_orchestrator_that_restarted_is_registered_with_again_under_the_same_id() -> None:
    async with Orchestrator.running() as orch, registering(orch.url) as subject:
        await until(lambda: subject.state is LeaseState.REGISTERED)
        before = orch.only().id
        subject.local.add("session_lost")
        await orch.restart()
        await until(lambda: orch.entries)
        await until(lambda: subject.state is LeaseState.REGISTERED)
        assert orch.only().id == before
        assert ("session_lost", "the orchestrator has forgotten this runner") in subject.released
        again = [seen for seen in orch.seen if seen.authorization == SECRET]
        assert len(again) == 2, "one registration before the restart, one after it"


async def test_an_id_that_is_held_by_another_registration_is_given_up() -> None:
    async with Orchestrator.running() as orch, registering(orch.url) as subject:
        await until(lambda: subject.state is LeaseState.REGISTERED)
        before = orch.only()
        before.secret = "another runner's"
        await until(lambda: len(orch.entries) == 2 and subject.state is LeaseState.REGISTERED)
        assert subject.registration.runner_id != before.id


async def test_an_entry_that_expired_is_registered_again() -> None:
    async with Orchestrator.running() as orch, registering(orch.url) as subject:
        await until(lambda: subject.state is LeaseState.REGISTERED)
        orch.only().seen_s -= 60
        await until(lambda: any(s.authorization == SECRET for s in orch.seen[1:]))
        await until(lambda: subject.state is LeaseState.REGISTERED and len(orch.entries) == 1)


async def test_a_wrong_secret_is_one_clear_error_without_the_secret_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Orchestrator.running() as orch, registering(orch.url, "wrong-secret-88") as subject:
        await until(lambda: len(orch.seen) >= 3)
        assert subject.state is LeaseState.REFUSED
        assert "-orchSecret" in subject.registration.lease.last_error
        orch.secret = "wrong-secret-88"
        await until(lambda: subject.state is LeaseState.REGISTERED)
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "401" in errors[0]
    assert "wrong-secret-88" not in caplog.text


async def test_a_missing_price_is_explained(caplog: pytest.LogCaptureFixture) -> None:
    async with Orchestrator.running() as orch:
        orch.priced = True
        async with registering(orch.url) as subject:
            await until(lambda: subject.state is LeaseState.REFUSED)
    assert "price_info.price is required (an orchestrator on a chain needs --price)" in caplog.text


@pytest.mark.parametrize("mode", ["503", "429", "slow", "garbage", "no-secret"])
async def test_it_backs_off_while_the_orchestrator_is_ill_and_recovers(mode: str) -> None:
    async with Orchestrator.running() as orch:
        orch.mode = mode
        async with registering(orch.url) as subject:
            await until(lambda: subject.registration.lease.failures >= 2)
            assert subject.state is LeaseState.REGISTERING
            orch.mode = "ok"
            orch.entries.clear()
            await until(lambda: subject.state is LeaseState.REGISTERED)
            assert subject.registration.lease.last_error == ""


async def test_a_short_illness_costs_no_session() -> None:
    async with (
        Orchestrator.running(ttl="20s") as orch,
        registering(orch.url) as subject,
        client_session() as http,
    ):
        await until(lambda: subject.state is LeaseState.REGISTERED)
        subject.local.add(await reserve(http, orch))
        orch.mode = "503"
        await until(lambda: subject.registration.lease.failures >= 3)
        orch.mode = "ok"
        await until(lambda: subject.registration.lease.failures == 0)
        assert subject.released == []
        assert [s.authorization for s in orch.seen].count(SECRET) == 1


async def test_an_orchestrator_that_vanished_for_good_has_released_its_sessions() -> None:
    async with Orchestrator.running(ttl="1s") as orch, registering(orch.url) as subject:
        await until(lambda: subject.state is LeaseState.REGISTERED)
        subject.local.add("session_1")
        await orch.stop()
        await until(lambda: subject.released)
        assert subject.released[0] == ("session_1", "the orchestrator was not reached in time")
        assert subject.state is LeaseState.REGISTERING
        await orch.start()
        await until(lambda: subject.state is LeaseState.REGISTERED)


async def test_a_change_of_the_offer_goes_out_at_once() -> None:
    async with Orchestrator.running(interval="20s", ttl="60s") as orch, registering(orch.url) as subject:
        await until(lambda: subject.state is LeaseState.REGISTERED)
        subject.capacity = 5
        subject.registration.nudge()
        await until(lambda: orch.only().capacity == 5)


async def test_leaving_releases_everything_and_a_second_time_is_harmless() -> None:
    async with Orchestrator.running() as orch, registering(orch.url) as subject:
        await until(lambda: subject.state is LeaseState.REGISTERED)
        entry = orch.only()
        await subject.aclose()
        await subject.registration.unregister()
        assert orch.unregistered == [entry.id]
        assert orch.entries == {}
        await subject.registration.unregister()
        assert orch.unregistered == [entry.id]


async def test_a_certificate_of_its_own_is_refused_unless_it_is_pinned() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    pem = CERTIFICATE.read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])
    pinned = TlsPolicy.pinned(hashlib.sha256(der).hexdigest())
    async with Orchestrator.running(tls=context) as orch:
        async with registering(orch.url) as subject:
            await until(lambda: subject.registration.lease.failures)
            assert "not trusted" in subject.registration.lease.last_error
            assert orch.seen == [], "the secret went to somebody who was not trusted"
        async with registering(orch.url, tls=pinned) as subject:
            await until(lambda: subject.state is LeaseState.REGISTERED)
            async with client_session() as http:
                reserving = http.post(f"{orch.url}/apps/{orch.only().id}/session", ssl=False)
                async with reserving as answer:
                    id = (await answer.json())["session_id"]
            await until(lambda: subject.registration.sessions == {id})
