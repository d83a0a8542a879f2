"""What goes over the wire to an orchestrator and comes back: offers, replies, Go's durations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ..errors import CallerError, PeerError

METADATA_LIMIT_BYTES: Final = 1024
"""go-livepeer refuses a heartbeat with more."""
PRICE_UNITS: Final = ("hour", "720p", "fixed")
READY: Final = "ready"

_UNITS_S: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True)
class Price:
    """What a session costs.

    :param usd: more than 0
    :param unit: per ``hour``, per hour of ``720p`` at 30 fps, or ``fixed`` per session
    """

    usd: Decimal
    unit: str = "hour"

    def __post_init__(self) -> None:
        if not self.usd.is_finite() or self.usd <= 0:
            raise CallerError(
                f"price {self.usd} must be more than 0", hint="leave it out where nothing is paid"
            )
        if self.unit not in PRICE_UNITS:
            raise CallerError(f"price unit {self.unit!r} must be one of {', '.join(PRICE_UNITS)}")


@dataclass(frozen=True)
class Gpu:
    """The GPU of a registration; there is room for one.

    :param vram_mb: in MiB, as NVML's total divided by 2**20
    """

    id: str
    name: str
    vram_mb: int


@dataclass(frozen=True)
class Offer:
    """What a runner says of itself in a heartbeat.

    :param runner_url: where the orchestrator reaches the runner
    :param app: public name of what is offered, such as ``live-video-to-video/NAME``
    :param status: ``ready``, or a lowercase word for why not
    :param capacity: sessions in all, those that are held included; 0 would be read as 1
    :param metadata: public text of at most `METADATA_LIMIT_BYTES`; see `pack_metadata`
    :param session_ids: sessions that run here
    """

    runner_url: str
    app: str
    version: str
    status: str
    capacity: int
    mode: str = "persistent"
    gpu: Gpu | None = None
    price: Price | None = None
    metadata: str = ""
    session_ids: tuple[str, ...] = ()

    def body(self, runner_id: str) -> dict[str, Any]:
        """Return the heartbeat's JSON.

        :param runner_id: empty: the orchestrator chooses one
        """
        body: dict[str, Any] = {
            "runner_id": runner_id,
            "runner_url": self.runner_url,
            "app": self.app,
            "version": self.version,
            "metadata": self.metadata,
            "status": self.status,
            "mode": self.mode,
            "capacity": self.capacity,
            "session_ids": list(self.session_ids),
        }
        if self.gpu is not None:
            body["gpu"] = {"id": self.gpu.id, "name": self.gpu.name, "vram_mb": self.gpu.vram_mb}
        if self.price is not None:
            body["price_info"] = {
                "price": float(self.price.usd),
                "currency": "usd",
                "unit": self.price.unit,
            }
        return body


def pack_metadata(fields: Mapping[str, Any], limit_bytes: int = METADATA_LIMIT_BYTES) -> str:
    """Return `fields` as compact JSON that fits; None is left out, and the last ones go first when it is too long.

    Plain ASCII: the orchestrator refuses U+FFFD and counts bytes.
    """
    kept = {key: value for key, value in fields.items() if value is not None}
    while True:
        text = json.dumps(kept, separators=(",", ":"))
        if len(text) <= limit_bytes:
            return text
        kept.popitem()


@dataclass(frozen=True)
class Reply:
    """The answer to a heartbeat.

    :param interval_s: until the next heartbeat
    :param ttl_s: without one for so long, the orchestrator forgets the runner and releases its sessions
    :param session_ids: all sessions of this runner; nothing else may run for this orchestrator
    :param heartbeat_secret: only when this heartbeat registered the runner
    :param orchestrator: address of the orchestrator as runners see it, or empty
    :param events_url: of the channel with session events, whose name is a secret; only with `heartbeat_secret`
    """

    runner_id: str
    interval_s: float
    ttl_s: float
    session_ids: tuple[str, ...] = ()
    heartbeat_secret: str = field(default="", repr=False)
    orchestrator: str = ""
    events_url: str = field(default="", repr=False)

    @classmethod
    def parse(cls, data: Any) -> Reply:
        """Read the JSON of a reply.

        :raises PeerError: something that is needed is missing or of another type
        """
        if not isinstance(data, dict):
            raise PeerError(f"the orchestrator's reply is no JSON object but {type(data).__name__}")
        channel = data.get("o2r")
        channel = channel if isinstance(channel, dict) else {}
        return cls(
            runner_id=_text(data, "runner_id", needed=True),
            interval_s=parse_duration_s(_text(data, "heartbeat_interval", needed=True)),
            ttl_s=parse_duration_s(_text(data, "heartbeat_ttl", needed=True)),
            session_ids=_session_ids(data.get("session_ids")),
            heartbeat_secret=_text(data, "heartbeat_secret"),
            orchestrator=_text(data, "orchestrator"),
            events_url=_text(channel, "internal_url") or _text(channel, "url"),
        )


def _text(data: Mapping[str, Any], key: str, *, needed: bool = False) -> str:
    value = data.get(key) or ""
    if not isinstance(value, str) or (needed and not value):
        raise PeerError(f"the orchestrator's reply has no text in {key!r}")
    return value


def _session_ids(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise PeerError("the orchestrator's reply has no list of texts in 'session_ids'")
    return tuple(value)


def parse_duration_s(text: str) -> float:
    """Read a duration as Go prints it, such as ``5s`` or ``1m30s``; seconds.

    :raises PeerError: it is none, or not more than 0
    """
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise PeerError(f"{text!r} is no duration")
    seconds = sum(float(part[1]) * _UNITS_S[part[2]] for part in parts)
    if seconds <= 0:
        raise PeerError(f"duration {text!r} must be more than 0")
    return seconds
