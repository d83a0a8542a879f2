"""WebRTC for one playground connection, whose offers come over its socket; pictures change their way at any time.

The page begins with JPEG, tries WebRTC beside it, and tells which of the two it uses. So nothing waits for a
connection that may never come, and one that breaks costs a few pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import CallerError, RunnerError
from ..webrtc import PeerOptions, is_installed
from .playground_messages import Candidates, Offer, Way, parse
from .playground_wire import Wire
from .webrtc_sessions import Session

log = logging.getLogger(__name__)

MAX_WAITING = 16
MAX_OFFERS = 50
"""Of one page: it makes one, and one more each time that a person asks for it."""


class Link:
    """Keeps at most one peer; a new offer takes its place.

    :param connect: negotiates, with the page's offer
    :param use_jpeg: called when the page has chosen its way, or has lost the other one
    """

    def __init__(
        self, wire: Wire, connect: Callable[[str], Awaitable[Session]], use_jpeg: Callable[[bool], None]
    ) -> None:
        self._wire, self._connect, self._use_jpeg = wire, connect, use_jpeg
        self._waiting: asyncio.Queue[Offer | Candidates] = asyncio.Queue(MAX_WAITING)
        self._session: Session | None = None
        self._offers = 0

    def take(self, message: dict[str, Any]) -> bool:
        """Take a message, if it is for this.

        :raises CallerError: it is, but is not as it should be, or there are too many
        """
        match message.get("type"):
            case "offer":
                self._offers += 1
                if self._offers > MAX_OFFERS:
                    raise CallerError(f"more than {MAX_OFFERS} offers")
                self._put(parse(Offer, message))
            case "candidates":
                self._put(parse(Candidates, message))
            case "way":
                self._use_jpeg(parse(Way, message).way == "jpeg")
            case _:
                return False
        return True

    def _put(self, message: Offer | Candidates) -> None:
        if self._waiting.full():
            raise CallerError(f"more than {MAX_WAITING} offers and candidates at once")
        self._waiting.put_nowait(message)

    async def run(self) -> None:
        """Negotiate until cancelled, then end the connection."""
        try:
            while True:
                message = await self._waiting.get()
                if isinstance(message, Offer):
                    await self._answer(message)
                elif self._session is not None:
                    with contextlib.suppress(CallerError):
                        await self._session.peer.add_candidates(message.sdp)
        finally:
            await self._leave("the page was closed")

    async def _answer(self, offer: Offer) -> None:
        await self._leave("the page connects again")
        try:
            self._session = await self._connect(offer.sdp)
        except RunnerError as error:
            self._wire.tell("answer", n=offer.n, ok=False, message=str(error))
        else:
            self._wire.tell("answer", n=offer.n, ok=True, sdp=self._session.answer)

    async def _leave(self, reason: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.peer.aclose(reason)


def describe(options: PeerOptions) -> dict[str, Any]:
    """Tell a page whether it may try, and with which servers' help."""
    servers: list[dict[str, str]] = []
    for server in options.ice_servers:
        credentials = {"username": server.username, "credential": server.credential}
        servers.append({"urls": server.url, **(credentials if server.username else {})})
    return {"available": is_installed(), "ice_servers": servers}
