"""Reading a channel over HTTP: the next segment is asked for while this one is read."""

from __future__ import annotations

import asyncio

import aiohttp

from .http import Peer
from .options import ClientOptions
from .protocol import CURRENT, RING_SEGMENTS
from .pursuit import Pursuit
from .received import Opened, ReceivedSegment


class Subscriber:
    """Segments of a channel, in order (a `ChannelReader`).

    Use ``async with``, or call `aclose`. Iteration ends when the channel ends, and raises `PeerError` when
    the peer cannot be reached after all retries. One consumer at a time.

    :param session: from `client_session`, or one with room for two connections per channel
    :param url: the channel's URL
    :param start: a sequence number, `NEXT`, or `CURRENT` as runners do
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        start: int = CURRENT,
        *,
        options: ClientOptions | None = None,
    ) -> None:
        self.peer = Peer(session, url, options or ClientOptions())
        self.resumed = 0
        """How often a segment was taken up again after its connection broke."""
        self._seq = start
        self._pending: asyncio.Task[Opened | None] | None = None
        self._replacement: Opened | None = None
        self._current: ReceivedSegment | None = None
        self._empties = 0
        self._closed = False

    @property
    def retried(self) -> int:
        """How often a request failed, or broke off, and was made again."""
        return self.resumed + self.peer.retried

    async def __aenter__(self) -> Subscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> ReceivedSegment:
        """Wait for the first byte of the next segment; the previous one is let go, read or not.

        :raises StopAsyncIteration: the channel ended
        :raises PeerError: the peer cannot be reached, or makes no sense
        """
        await self._let_go()
        opened = None if self._closed else await self._take()
        if opened is None:
            self._closed = True
            raise StopAsyncIteration
        self._preconnect(opened.seq + 1)
        self._current = ReceivedSegment(opened, self.peer, self._reopen, self._next_started)
        return self._current

    async def aclose(self) -> None:
        """Stop reading; every connection and task is gone afterwards. Idempotent."""
        self._closed = True
        await self._let_go()
        if self._replacement is not None:
            self._replacement.response.close()
        await self._abandon_pending()

    # --- one segment after the other ---

    async def _let_go(self) -> None:
        current, self._current = self._current, None
        if current is None:
            return
        current.close()
        self._replacement = current.successor
        self._empties = self._empties + 1 if current.complete and not current.size_bytes else 0
        if self._empties > RING_SEGMENTS and not self._closed:
            await asyncio.sleep(
                self.peer.options.behind_delay_s
            )  # a peer that answers nothing, at full speed

    async def _reopen(self, seq: int) -> Opened | None:
        """Ask for a segment again after its connection broke; None when it is not to be had any more."""
        self.resumed += 1
        opened = await Pursuit(self.peer, seq).run()
        if opened is not None and opened.seq != seq:
            opened.response.close()
            return None
        return opened

    def _next_started(self) -> bool:
        pending = self._pending
        done = pending is not None and pending.done() and not pending.cancelled()
        return done and pending is not None and pending.exception() is None and pending.result() is not None

    async def _take(self) -> Opened | None:
        replacement, self._replacement = self._replacement, None
        if replacement is not None:
            await self._abandon_pending()
            return replacement
        pending = self._pending or self._preconnect(self._seq)
        # wait, not await: a caller that gives up waiting must not cancel the request.
        await asyncio.wait({pending})
        self._pending = None
        return None if pending.cancelled() else pending.result()

    def _preconnect(self, seq: int) -> asyncio.Task[Opened | None]:
        self._seq = seq
        self._pending = asyncio.create_task(Pursuit(self.peer, seq).run(), name=f"trickle-get-{seq}")
        return self._pending

    async def _abandon_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        pending.cancel()
        await asyncio.wait({pending})
        if not pending.cancelled() and pending.exception() is None:
            opened = pending.result()
            if opened is not None:
                opened.response.close()
