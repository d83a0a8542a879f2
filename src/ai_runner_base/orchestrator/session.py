"""A session as the runner sees it: the headers that the orchestrator's proxy adds, and the callbacks they allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from yarl import URL

from ..errors import CallerError, PeerError
from .client import OrchestratorClient

HEADER_ROUTE: Final = "Livepeer-Runner-Route"
HEADER_SESSION: Final = "Livepeer-Session-Id"
HEADER_TOKEN: Final = "Livepeer-Session-Token"
HEADER_CONTROL: Final = "Livepeer-Session-Control"
_HEADERS: Final = (HEADER_ROUTE, HEADER_SESSION, HEADER_TOKEN, HEADER_CONTROL)


@dataclass(frozen=True)
class SessionHeaders:
    """What a proxied request says about its session. The proxy overwrites whatever the client sent under these names.

    :param route: runner id, or the label of a static entry
    :param control: base URL of the callbacks
    """

    route: str
    session_id: str
    token: str = field(repr=False)
    control: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> SessionHeaders | None:
        """Read them; None for a request that came without any.

        :raises CallerError: some are missing
        """
        values = [headers.get(name, "").strip() for name in _HEADERS]
        if not any(name in headers for name in _HEADERS):
            return None
        missing = [name for name, value in zip(_HEADERS, values, strict=True) if not value]
        if missing:
            raise CallerError(f"a request of a session needs the header {missing[0]}")
        return cls(*values)

    def is_under(self, addresses: Iterable[URL]) -> bool:
        """Whether the callbacks go to one of these orchestrator addresses, at this session's own path."""
        try:
            control = URL(self.control.rstrip("/"))
        except ValueError:
            return False
        part = ("runner", self.route, "session", self.session_id)
        return any(control == _joined(address, part) for address in addresses)


def _joined(address: URL, parts: Sequence[str]) -> URL:
    for part in parts:
        address = address / part
    return address


@dataclass(frozen=True)
class Channel:
    """A trickle channel of a session; its URLs are secrets of the session.

    :param url: for clients
    :param internal_url: for the runner
    """

    name: str
    url: str = field(repr=False)
    internal_url: str = field(repr=False)


class SessionControl:
    """The callbacks of one session.

    :param client: the orchestrator; it has been checked that the headers point to it
    """

    def __init__(self, client: OrchestratorClient, headers: SessionHeaders) -> None:
        self._client = client
        self._base = URL(client.reachable(headers.control.rstrip("/")))
        self._headers = {HEADER_TOKEN: headers.token}

    async def create_channels(self, mime_types: Mapping[str, str]) -> dict[str, Channel]:
        """Make channels by name, or get those that exist. At most 25.

        :param mime_types: by name, ``[A-Za-z0-9_-]+``
        :raises PeerError: the orchestrator refuses (401: the token is wrong; 404: no such session) or is away
        """
        wanted = [{"name": name, "mime_type": mime} for name, mime in mime_types.items()]
        data = await self._call("POST", "channels", {"channels": wanted})
        made = _channels(data, self._client)
        missing = sorted(set(mime_types) - set(made))
        if missing:
            raise PeerError(f"the orchestrator made no channel {missing[0]!r}")
        return made

    async def delete_channels(self, names: Sequence[str]) -> None:
        """End channels by name.

        :raises PeerError: see `create_channels`
        """
        await self._call("DELETE", "channels", {"channels": list(names)})

    async def create_proxy(self, target_url: str = "") -> str:
        """Make a public URL that hides the session's id and ends with it.

        :param target_url: on the host of the registered ``runner_url``, which is meant when it is empty
        :raises PeerError: see `create_channels`
        """
        data = await self._call("POST", "proxy", {"target_url": target_url} if target_url else {})
        url = data.get("url") if isinstance(data, dict) else None
        if not isinstance(url, str) or not url:
            raise PeerError("the orchestrator's reply has no text in 'url'")
        return url

    async def stop(self) -> None:
        """Release the session: its channels, its proxies, its slot, its payments.

        :raises PeerError: see `create_channels`
        """
        await self._call("POST", "stop", None)

    async def _call(self, method: str, name: str, body: Mapping[str, Any] | None) -> Any:
        return await self._client.call(method, self._base / name, self._headers, body)


def _channels(data: Any, client: OrchestratorClient) -> dict[str, Channel]:
    items = data.get("channels") if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise PeerError("the orchestrator's reply has no list in 'channels'")
    made: dict[str, Channel] = {}
    for item in items:
        name, url = (item.get(key) if isinstance(item, dict) else None for key in ("name", "url"))
        if not isinstance(name, str) or not isinstance(url, str) or not url:
            raise PeerError("the orchestrator's reply has a channel without 'name' and 'url'")
        internal = item.get("internal_url") or url
        made[name] = Channel(name, url, client.reachable(str(internal)))
    return made
