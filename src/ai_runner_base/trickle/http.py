"""What the trickle clients ask of `aiohttp`: no hidden total timeout, no compression, no redirects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from ..errors import CallerError
from .options import ClientOptions
from .protocol import parse_seq, short_name

FAULTS: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What `aiohttp` raises when the peer or the network is at fault."""
TRUST_FAULTS: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
"""Those of them that trying again cannot cure."""
TRUST_HINT: Final = "pin the peer's certificate by its SHA-256 fingerprint, or allow an unchecked one"
BODY_LIMIT_BYTES: Final = 1024
"""How much of an error's text is read."""


def client_session() -> aiohttp.ClientSession:
    """Make a session that fits trickle: as many connections as there are channels.

    The default limit of 100 connections would let the 101st waiting reader block every writer.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    )


def channel_url(text: str) -> URL:
    """Read a channel's URL.

    :raises CallerError: it is not an absolute http or https URL
    """
    try:
        url = URL(text)
    except ValueError as error:
        raise CallerError(f"trickle URL {text!r}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise CallerError(f"trickle URL {text!r} must be absolute, with scheme http or https")
    return url


def short_url(url: URL | str) -> str:
    """Name a channel's address in a log or an error: its server, and `short_name`.

    :param url: what is no address of a server is given back as it is
    """
    parsed = URL(url)
    if not parsed.host:
        return str(url)
    return f"{parsed.origin()}/{short_name(parsed.path.rstrip('/').rpartition('/')[2])}"


class Peer:
    """One channel at the other end, and how to ask it.

    :param session: not closed by us
    :param url: the channel's URL; a trailing slash makes no difference
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, options: ClientOptions) -> None:
        self.url = channel_url(url)
        if options.authorization:
            self.url = self.url.with_user(None)  # aiohttp refuses two credentials
        self.options = options
        self.retried = 0
        """Requests that failed and were made again, by whoever reads or writes this channel."""
        self._session = session
        self._ssl = options.tls.ssl_argument(self.url)
        # sock_read stays off: 100 Continue would start it while a POST is still being written.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout_s)
        self._headers = {"Accept-Encoding": "identity"}
        if options.authorization:
            self._headers["Authorization"] = options.authorization

    @property
    def name(self) -> str:
        """The channel for people, without what may be a secret."""
        return short_url(self.url)

    async def request(
        self, method: str, part: str | int = "", *, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> aiohttp.ClientResponse:
        """Ask for the channel, or a part of it (a sequence number, ``next``).

        :return: as soon as its headers are there; the caller closes or releases it
        :raises aiohttp.ClientError: and `OSError`, `TimeoutError`: there was no answer
        """
        url = self.url / str(part) if part != "" else self.url
        return await self._session.request(
            method,
            url,
            headers={**self._headers, **(headers or {})},
            ssl=self._ssl,
            timeout=self._timeout,
            allow_redirects=False,
            **arguments,
        )


def header_seq(response: aiohttp.ClientResponse, name: str) -> int | None:
    """Read a header that holds a sequence number."""
    return parse_seq(response.headers.get(name, ""))


def describe(error: BaseException) -> str:
    """Say in one line what a request met; `aiohttp` is verbose in `repr` and sometimes mute in `str`."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def short_text(response: aiohttp.ClientResponse) -> str:
    """Read the beginning of an error's text, so that the connection can be used again."""
    body = await response.content.read(BODY_LIMIT_BYTES)
    return " ".join(body.decode("utf-8", "replace").split())[:200]
