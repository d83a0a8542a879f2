"""Asking for one segment until its first byte is there: retries, moves to the edge, patience."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from ..errors import PeerError
from .answers import Decision, Step, decide
from .http import FAULTS, TRUST_FAULTS, TRUST_HINT, Peer, describe, short_text
from .protocol import RING_SEGMENTS
from .received import Opened

_log = logging.getLogger(__name__)


class Pursuit:
    """One segment wanted by a reader; what has been tried for it.

    :param seq: a sequence number, `NEXT` or `CURRENT`
    """

    def __init__(self, peer: Peer, seq: int) -> None:
        self._peer = peer
        self._seq = seq
        self._failures = 0
        self._restarts = 0
        self._moves = 0

    async def run(self) -> Opened | None:
        """Ask until there is a segment, this one or the one that the peer sends us to.

        :return: None when the channel has ended
        :raises PeerError: too many failures in a row, or a peer that is not trusted
        """
        while True:
            response = await self._ask()
            if response is None:
                continue
            decision = decide(response.status, response.headers, self._seq)
            if decision.step is Step.READ:
                return Opened(response, decision.seq)
            text = await self._dismiss(response)
            if decision.step is Step.ENDED:
                return None
            if decision.step is Step.FAILED:
                await self._fail(f"HTTP {response.status} {text}".strip())
            else:
                await self._follow(decision)

    async def _ask(self) -> aiohttp.ClientResponse | None:
        """GET; None when it failed, or brought nothing before it is time to ask again."""
        deadline = asyncio.timeout(self._peer.options.reissue_s)
        try:
            async with deadline:
                return await self._peer.request("GET", self._seq)
        except TRUST_FAULTS as error:
            raise PeerError(f"{self._peer.name} is not trusted: {error}", hint=TRUST_HINT) from error
        except FAULTS as error:
            if not deadline.expired():
                await self._fail(describe(error))
            return None

    async def _dismiss(self, response: aiohttp.ClientResponse) -> str:
        """Read the answer's text, so that its connection can be used again."""
        try:
            async with asyncio.timeout(self._peer.options.connect_timeout_s):
                return await short_text(response)
        except FAULTS:
            return ""
        finally:
            response.close()

    async def _fail(self, what: str) -> None:
        """Count a failure, and wait before the next attempt.

        :raises PeerError: it was one too many
        """
        self._failures += 1
        where = f"{self._peer.name}/{self._seq}"
        if self._failures > self._peer.options.retries:
            raise PeerError(f"cannot read {where}: {what}, {self._failures} times in a row")
        self._peer.retried += 1
        _log.info("reading %s failed, trying again: %s", where, what)
        await asyncio.sleep(self._peer.options.retry_delay_s)

    async def _follow(self, decision: Decision) -> None:
        """Go where the channel is, now or a little later."""
        self._failures = 0
        self._restarts = self._restarts + 1 if decision.step is Step.RESTARTED else 0
        self._moves = self._moves + 1 if decision.step is Step.MOVE else 0
        if decision.step is not Step.MOVE or self._moves > RING_SEGMENTS:
            await asyncio.sleep(self._peer.options.behind_delay_s)
        if self._restarts == 1:
            return  # once may be a late POST; twice is a counter that was started again
        if self._restarts:
            _log.warning("%s started to count again; we were at %d", self._peer.name, self._seq)
        self._seq = decision.seq
