"""The Live Runner side of a Livepeer orchestrator: registration, heartbeats, session callbacks. Knows no stream.

The wire is that of go-livepeer's live runners (live runner contract 1.7); what was learned from its source beyond
the documentation stands beside the code that follows it.
"""

from .client import OrchestratorClient, OrchestratorRefusedError, Trust, orchestrator_url
from .lease import Ask, Lease, LeaseState, Timing
from .messages import (
    METADATA_LIMIT_BYTES,
    PRICE_UNITS,
    Gpu,
    Offer,
    Price,
    Reply,
    pack_metadata,
    parse_duration_s,
)
from .registration import EventSource, Registration
from .session import Channel, SessionControl, SessionHeaders

__all__ = [
    "METADATA_LIMIT_BYTES",
    "PRICE_UNITS",
    "Ask",
    "Channel",
    "EventSource",
    "Gpu",
    "Lease",
    "LeaseState",
    "Offer",
    "OrchestratorClient",
    "OrchestratorRefusedError",
    "Price",
    "Registration",
    "Reply",
    "SessionControl",
    "SessionHeaders",
    "Timing",
    "Trust",
    "orchestrator_url",
    "pack_metadata",
    "parse_duration_s",
]
