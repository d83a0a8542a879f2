"""A peer that signed its own certificate, as orchestrators do at start."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from tests._support import trickle as support
from tests._support.trickle import FAST_CLIENT, Served, _no_leaked_tasks, serving, within  # noqa: F401

from ai_runner_base.errors import CallerError, PeerError
from ai_runner_base.trickle import Publisher, Subscriber, TlsPolicy, client_session

pytestmark = pytest.mark.process

CERTIFICATE = Path(support.__file__).with_name("self_signed.pem")


def fingerprint() -> str:
    pem = CERTIFICATE.read_text()
    begin = pem.index("-----BEGIN CERTIFICATE")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[begin:])).hexdigest()


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as made:
        yield made


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    async with serving(tls=context) as running:
        running.server.create("ch")
        yield running


async def exchange(session: aiohttp.ClientSession, url: str, tls: TlsPolicy) -> bytes:
    options = replace(FAST_CLIENT, tls=tls)
    async with (
        within(),
        Publisher(session, url, "x/y", options=options) as publisher,
        Subscriber(session, url, 0, options=options) as subscriber,
    ):
        async with publisher.segment() as write:
            assert await write(b"secret")
        segment = await anext(subscriber)
        return b"".join([chunk async for chunk in segment])


async def test_it_is_refused_by_default_with_a_hint(session: aiohttp.ClientSession, served: Served) -> None:
    for opened in (
        anext(Subscriber(session, served.url("ch"), options=FAST_CLIENT)),
        Publisher(session, served.url("ch"), "x/y", options=FAST_CLIENT).open(),
    ):
        with pytest.raises(PeerError, match=r"is not trusted.*certificate") as raised:
            await opened
        assert "fingerprint" in raised.value.hint


@pytest.mark.parametrize("colons", [False, True])
async def test_the_pinned_one_is_accepted(
    session: aiohttp.ClientSession, served: Served, colons: bool
) -> None:
    digits = fingerprint()
    text = ":".join(digits[i : i + 2].upper() for i in range(0, 64, 2)) if colons else digits
    assert await exchange(session, served.url("ch"), TlsPolicy.pinned(text)) == b"secret"


async def test_another_one_than_the_pinned_is_refused(session: aiohttp.ClientSession, served: Served) -> None:
    with pytest.raises(PeerError, match="is not trusted"):
        await exchange(session, served.url("ch"), TlsPolicy.pinned("ab" * 32))


async def test_insecure_works_and_says_so(
    session: aiohttp.ClientSession, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    assert await exchange(session, served.url("ch"), TlsPolicy.insecure()) == b"secret"
    assert "certificate of 127.0.0.1 is not checked" in caplog.text


@pytest.mark.parametrize("text", ["", "ab", "xy" * 32, "ab" * 20])
def test_a_fingerprint_must_be_one(text: str) -> None:
    with pytest.raises(CallerError, match="64 hex digits"):
        TlsPolicy.pinned(text)


@pytest.mark.parametrize("url", ["", "/ai/trickle/x", "ftp://host/x", "http://", "http://[bad/x"])
async def test_a_url_must_be_http_and_absolute(session: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(CallerError, match="trickle URL"):
        Subscriber(session, url)
