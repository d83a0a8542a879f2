"""What a trickle client may be told: clocks, buffers, credentials, and whom to trust."""

from __future__ import annotations

import logging
import re
import ssl
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from ..errors import CallerError
from .protocol import BEHIND_DELAY_S, OVERTAKEN_S

_log = logging.getLogger(__name__)

MIB = 1024 * 1024


@dataclass(frozen=True)
class TlsPolicy:
    """How a peer's certificate is judged. Make one with `verify`, `pinned` or `insecure`.

    Orchestrators sign their own certificates at start, so `verify` refuses them; `pinned` is the safe way to
    reach one, `insecure` the way every upstream client goes.
    """

    fingerprint: bytes = b""
    """SHA-256 of the peer's certificate (DER), or empty."""
    checked: bool = True

    @classmethod
    def verify(cls) -> TlsPolicy:
        """Trust what the system's certificate authorities vouch for."""
        return cls()

    @classmethod
    def pinned(cls, sha256_hex: str) -> TlsPolicy:
        """Trust exactly one certificate.

        :param sha256_hex: fingerprint as 64 hex digits, colons allowed
        :raises CallerError: it is not a SHA-256 fingerprint
        """
        digits = sha256_hex.replace(":", "").strip()
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
            raise CallerError(
                f"certificate fingerprint {sha256_hex!r} is not 64 hex digits",
                hint="take the SHA-256 one: openssl x509 -noout -fingerprint -sha256 -in cert.pem",
            )
        return cls(fingerprint=bytes.fromhex(digits))

    @classmethod
    def insecure(cls) -> TlsPolicy:
        """Trust anybody. Said out loud in the log when it is used."""
        return cls(checked=False)

    def ssl_argument(self, url: URL) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
        """Give what `aiohttp` wants as ``ssl``."""
        if url.scheme == "https" and not self.checked:
            _log.warning(
                "TLS certificate of %s is not checked: anybody in between can read and change", url.host
            )
        if self.fingerprint:
            return aiohttp.Fingerprint(self.fingerprint)
        return self.checked


@dataclass(frozen=True)
class ClientOptions:
    """Clocks and limits of `Subscriber` and `Publisher`. Seconds and bytes.

    :param connect_timeout_s: TCP and TLS
    :param reissue_s: a GET that brings no byte is asked again after this long, as Go readers do
    :param idle_timeout_s: silence inside a segment after which the reader connects again and goes on
    :param overtaken_s: silence after which a segment is left when the next one has already started
    :param retries: attempts after a failed one, before a reader gives up
    :param retry_delay_s: between those
    :param behind_delay_s: wait when the channel's next number is lower than the one we want
    :param write_timeout_s: how long a write may wait for room before its segment counts as failed
    :param late_after_s: an answer to a finished POST that takes longer is counted: the peer takes too little
    :param answer_timeout_s: how long the answer to a finished POST, or to a DELETE, may take
    :param buffer_bytes: bytes of a segment that may wait for the network
    :param roll_idle_s: a segment that got no byte for this long is finished; later bytes go to the next one
    :param failures: consecutive failed segments after which a publisher gives up
    :param outage_s: and from the first of them to the last at least this long has passed
    :param in_flight: finished segments whose answer may be outstanding
    :param authorization: value of the ``Authorization`` header, such as ``Bearer …``; empty for none
    """

    connect_timeout_s: float = 5.0
    reissue_s: float = 20.0
    idle_timeout_s: float = 30.0
    overtaken_s: float = OVERTAKEN_S
    retries: int = 5
    retry_delay_s: float = 0.5
    behind_delay_s: float = BEHIND_DELAY_S
    write_timeout_s: float = 5.0
    late_after_s: float = 2.0
    answer_timeout_s: float = 10.0
    buffer_bytes: int = 1 * MIB
    roll_idle_s: float = 10.0
    failures: int = 3
    outage_s: float = 0.0
    in_flight: int = 4
    tls: TlsPolicy = field(default_factory=TlsPolicy.verify)
    authorization: str = field(default="", repr=False)
