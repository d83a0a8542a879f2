"""Why there is no connection: WebRTC cannot be had here, or the two sides share no codec."""

from __future__ import annotations

from ..errors import CallerError, HostError


class UnavailableError(HostError):
    """This installation has no WebRTC (HTTP 501)."""

    http_status = 501


class NotAcceptableError(CallerError):
    """The offer is well formed, but there is no codec that both sides know (HTTP 406)."""

    http_status = 406
