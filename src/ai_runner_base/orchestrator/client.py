"""HTTP to one orchestrator: small JSON bodies, a deadline for each, no redirects, nothing secret in an error."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, Protocol

import aiohttp
from yarl import URL

from ..errors import CallerError, PeerError
from .messages import Reply

log = logging.getLogger(__name__)

FAULTS: Final = (aiohttp.ClientError, OSError, TimeoutError)
TRUST_FAULTS: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
TRUST_HINT: Final = "pin its certificate with --orchestrator-tls SHA256, since orchestrators sign their own"
ANSWER_LIMIT_BYTES: Final = 1 << 20
ERROR_TEXT_CHARS: Final = 200


class Trust(Protocol):
    """How the orchestrator's certificate is judged (`trickle.TlsPolicy` is one)."""

    def ssl_argument(self, url: URL) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
        """Give what `aiohttp` wants as ``ssl``."""


class OrchestratorRefusedError(PeerError):
    """The orchestrator answered with an HTTP error.

    :param status: its status code
    """

    def __init__(self, message: str, status: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def orchestrator_url(text: str) -> URL:
    """Read an orchestrator's address.

    :raises CallerError: it is no absolute http or https URL, or has parts that make no sense in one
    """
    try:
        url = URL(text.strip().rstrip("/"))
    except ValueError as error:
        raise CallerError(f"orchestrator {text!r}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise CallerError(f"orchestrator {text!r} must be a URL such as https://orchestrator:8935")
    if url.user or url.query_string or url.fragment:
        raise CallerError("an orchestrator's URL has no user, query or fragment")
    return url


def is_loopback(host: str | None) -> bool:
    """Whether a host name can only mean this machine."""
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


class OrchestratorClient:
    """One orchestrator and how to ask it.

    :param http: not closed here
    :param url: its address as the operator gave it
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, trust: Trust, timeout_s: float = 5.0) -> None:
        self.url = orchestrator_url(url)
        self.trust = trust
        self._advertised: URL | None = None
        self._http, self._timeout_s = http, timeout_s
        self._ssl = trust.ssl_argument(self.url)

    def __str__(self) -> str:
        return str(self.url)

    @property
    def addresses(self) -> tuple[URL, ...]:
        """Return the addresses that are this orchestrator: the given one, and the one that it tells runners."""
        return (self.url, self._advertised) if self._advertised else (self.url,)

    def reachable(self, url: str) -> str:
        """Return `url` with the orchestrator's given host, where its own can only mean another machine's loopback.

        An orchestrator in a container without ``-liveRunnerAddr`` advertises 127.0.0.1 to everybody.
        """
        told = URL(url)
        if is_loopback(told.host) and not is_loopback(self.url.host):
            return str(self.url.origin().join(told.relative()))
        return url

    async def heartbeat(self, body: Mapping[str, Any], secret: str) -> Reply:
        """Register, or stay registered.

        :raises OrchestratorRefusedError: with the status
        :raises PeerError: no answer, or none that makes sense
        """
        data = await self.call("POST", self.url / "runners" / "heartbeat", {"Authorization": secret}, body)
        reply = Reply.parse(data)
        if reply.orchestrator:
            with suppress(CallerError):  # useless, then; the given address does as well
                self._advertised = orchestrator_url(reply.orchestrator)
        return reply

    async def unregister(self, runner_id: str, secret: str) -> None:
        """Leave; the orchestrator releases the sessions.

        :raises PeerError: it did not hear us
        """
        url = self.url / "runners" / runner_id / "unregister"
        await self.call("POST", url, {"Authorization": secret}, None)

    async def call(
        self, method: str, url: URL, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Any:
        """Make one request and return its JSON answer, None for an empty one.

        :raises OrchestratorRefusedError: another status than 200 or 204
        :raises PeerError: no answer in time, or one that is no JSON
        """
        try:
            async with self._http.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **headers},
                json=body,
                ssl=self._ssl,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            ) as response:
                text = await _read(response)
                status = response.status
        except TRUST_FAULTS as error:
            raise PeerError(f"{self} is not trusted: {_words(error)}", hint=TRUST_HINT) from error
        except FAULTS as error:
            raise PeerError(f"{self} does not answer: {_words(error)}") from error
        if status not in (200, 204):
            raise OrchestratorRefusedError(f"{self}: HTTP {status} {_short(text, headers)}".strip(), status)
        return _json(text) if text else None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _read(response: aiohttp.ClientResponse) -> str:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {ANSWER_LIMIT_BYTES} bytes")
    return body.decode("utf-8", "replace")


def _short(text: str, secrets: Mapping[str, str]) -> str:
    """Return the beginning of an error's text on one line; what we sent as a secret is never repeated."""
    for secret in filter(None, secrets.values()):
        text = text.replace(secret, "[secret]")
    return " ".join(text.split())[:ERROR_TEXT_CHARS]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"the orchestrator's answer is no JSON: {error}") from error
