"""Reading a channel over HTTP: the next segment is asked for while this one is read."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from ..errors import PeerError
from .answers import Decision, Step, decide
from .http import FAULTS, TRUST_FAULTS, TRUST_HINT, Peer, short_text
from .options import ClientOptions
from .protocol import CURRENT, RING_SEGMENTS
from .received import Opened, ReceivedSegment

_log = logging.getLogger(__name__)


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
        opened = await self._open(seq)
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
        if self._pending is None:
            self._preconnect(self._seq)
        pending = self._pending
        if pending is None:
            return None
        # wait, not await: a caller that gives up waiting must not cancel the request.
        await asyncio.wait({pending})
        self._pending = None
        return pending.result()

    def _preconnect(self, seq: int) -> None:
        self._seq = seq
        if self._pending is None:
            self._pending = asyncio.create_task(self._open(seq), name=f"trickle-get-{seq}")

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

    async def _open(self, seq: int) -> Opened | None:
        """Ask until a segment's first byte is there.

        :return: None when the channel has ended
        :raises PeerError: too many failures in a row
        """
        failures, restarts = 0, 0
        options = self.peer.options
        while True:
            try:
                response = await self._ask(seq)
            except TRUST_FAULTS as error:
                raise PeerError(f"{self.peer.name} is not trusted: {error}", hint=TRUST_HINT) from error
            except FAULTS as error:
                failures = self._failed(failures, seq, repr(error))
                await asyncio.sleep(options.retry_delay_s)
                continue
            if response is None:
                continue  # silence: ask again
            decision = decide(response.status, response.headers, seq)
            if decision.step is Step.READ:
                return Opened(response, decision.seq)
            text = await self._dismiss(response)
            if decision.step is Step.ENDED:
                return None
            if decision.step is Step.FAILED:
                failures = self._failed(failures, seq, f"HTTP {response.status} {text}".strip())
                await asyncio.sleep(options.retry_delay_s)
                continue
            failures, restarts = 0, restarts + 1 if decision.step is Step.RESTARTED else 0
            seq = await self._follow(decision, seq, restarts)

    async def _follow(self, decision: Decision, seq: int, restarts: int) -> int:
        if decision.step is Step.MOVE:
            return decision.seq
        await asyncio.sleep(self.peer.options.behind_delay_s)
        if restarts >= 2:
            _log.warning("%s started to count again; we were at %d", self.peer.name, seq)
            return decision.seq
        return seq

    async def _ask(self, seq: int) -> aiohttp.ClientResponse | None:
        """GET one segment; None when nothing came before it is time to ask again."""
        try:
            async with asyncio.timeout(self.peer.options.reissue_s) as deadline:
                return await self.peer.request("GET", seq)
        except TimeoutError:
            if deadline.expired():
                return None
            raise

    async def _dismiss(self, response: aiohttp.ClientResponse) -> str:
        try:
            async with asyncio.timeout(self.peer.options.connect_timeout_s):
                text = await short_text(response)
            response.release()
            return text
        except FAULTS:
            return ""
        finally:
            response.close()

    def _failed(self, failures: int, seq: int, what: str) -> int:
        """Count a failure.

        :raises PeerError: it was one too many
        """
        if failures >= self.peer.options.retries:
            raise PeerError(f"cannot read {self.peer.name}/{seq}: {what}, {failures + 1} times in a row")
        _log.info("reading %s/%d failed, trying again: %s", self.peer.name, seq, what)
        return failures + 1
