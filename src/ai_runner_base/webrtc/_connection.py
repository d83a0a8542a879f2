"""One WebRTC connection from offer to end. A single task owns it: it notices that the peer is gone and closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import OperationError
from aiortc.sdp import candidate_from_sdp

from ..errors import CallerError, HostError
from . import _sdp
from ._errors import NotAcceptableError
from ._types import IceServer, PeerOptions

log = logging.getLogger(__name__)

POLL_S = 0.5
CLOSE_LIMIT_S = 3.0
MAX_CANDIDATES = 128
"""Of one peer, over all of its fragments."""


class Connection:
    """Answers one offer, takes further candidates, ends when asked, when the peer leaves, or when it falls silent.

    :param silence_s: without any packet for so long the peer is gone; ICE alone notices after half a minute
    :param on_closed: called once on the event loop with the reason, when everything is closed
    """

    def __init__(self, options: PeerOptions, silence_s: float, on_closed: Callable[[str], None]) -> None:
        # An empty list: the library's default asks a public STUN server.
        self.pc = RTCPeerConnection(RTCConfiguration([_ice_server(server) for server in options.ice_servers]))
        self._connect_limit_s, self._silence_s = options.connect_limit_s, silence_s
        self._on_closed = on_closed
        self._changed = asyncio.Event()
        self._stop_reason = ""
        self._offered_ufrag = ""
        self._candidates = 0
        self._owner: asyncio.Task[None] | None = None
        self.pc.on("connectionstatechange", self._changed.set)

    async def answer(self, offer: str) -> str:
        """Negotiate and return the answer, complete with candidates.

        :raises CallerError: the offer is not one
        :raises NotAcceptableError: no codec is known to both sides, or no video is offered
        :raises HostError: this machine has no address but loopback
        """
        offer, profiles = _sdp.as_baseline(_sdp.without_remb(_sdp.without_mdns(offer)))
        self._offered_ufrag = _sdp.ufrag_of(offer)
        try:
            if _sdp.is_without_video(offer):
                raise NotAcceptableError("the offer has no video", hint="add a video section to it")
            answer = _sdp.with_profiles(await self._negotiate(offer), profiles)
            if not _sdp.has_candidates(answer):
                raise HostError("no address for WebRTC: this machine has no network interface but loopback")
        except BaseException:
            await self._close()
            raise
        self._owner = asyncio.create_task(self._own(), name="webrtc connection")
        return answer

    async def _negotiate(self, offer: str) -> str:
        try:
            await self.pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await self.pc.setLocalDescription(await self.pc.createAnswer())
        except OperationError as error:
            raise NotAcceptableError(
                f"no codec in common: {error}",
                hint="offer H.264 (any profile) or VP8 with an RTP clock of 90000",
            ) from error
        except Exception as error:
            # The library's parser raises whatever a foreign text makes it stumble over.
            raise CallerError(f"the body is no SDP offer: {error!r}") from error
        return str(self.pc.localDescription.sdp)

    async def add_candidates(self, text: str) -> None:
        """Take a trickle ICE fragment.

        :raises CallerError: it cannot be read, or asks for an ICE restart
        """
        fragment = _sdp.parse_fragment(text)
        if fragment.ufrag and fragment.ufrag != self._offered_ufrag:
            raise CallerError(
                "ICE restarts are not supported", hint="DELETE the session and POST a new offer"
            )
        self._candidates += len(fragment.candidates)
        if self._candidates > MAX_CANDIDATES:
            raise CallerError(f"more than {MAX_CANDIDATES} candidates")
        for mid, line in fragment.candidates:
            try:
                candidate = candidate_from_sdp(line.partition(":")[2])
                candidate.sdpMid = mid or self.pc.getTransceivers()[0].mid
                await self.pc.addIceCandidate(candidate)
            except (AssertionError, ValueError, IndexError) as error:
                raise CallerError(f"{line!r} is no candidate: {error!r}") from error
        if fragment.complete:
            await self.pc.addIceCandidate(None)

    async def aclose(self, reason: str = "closed") -> None:
        """End the connection; `on_closed` has been called when it returns. Calling it again waits for the same end."""
        self.stop(reason)
        if self._owner is not None and self._owner is not asyncio.current_task():
            await asyncio.wait([self._owner], timeout=CLOSE_LIMIT_S + POLL_S)

    def stop(self, reason: str) -> None:
        """Let the connection end soon."""
        self._stop_reason = self._stop_reason or reason
        self._changed.set()

    # --- the owner ----------------------------------------------------------------------------------------------

    async def _own(self) -> None:
        reason = "the runner stops"
        try:
            reason = await self._watch()
        finally:
            await self._close()
            self._on_closed(reason)

    async def _watch(self) -> str:
        """Wait for the end and return why."""
        heard_s, packets, connect_by_s = time.monotonic(), 0, time.monotonic() + self._connect_limit_s
        while not self._stop_reason:
            await self._pause()
            state, now_s = self.pc.connectionState, time.monotonic()
            if state in ("failed", "closed"):
                return "the peer left"
            if state != "connected":
                heard_s = now_s
                if now_s > connect_by_s:
                    return f"no connection within {self._connect_limit_s:g} s"
            elif (count := await self._received_packets()) != packets:
                heard_s, packets = now_s, count
            elif now_s - heard_s > self._silence_s:
                return f"nothing heard for {self._silence_s:g} s"
        return self._stop_reason

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._changed.wait()
        if not self._stop_reason:
            self._changed.clear()

    async def _received_packets(self) -> int:
        report = await self.pc.getStats()
        return sum(stats.packetsReceived for stats in report.values() if stats.type == "transport")

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self.pc.close()
        except TimeoutError:
            log.warning("a WebRTC connection did not close within %g s", CLOSE_LIMIT_S)


def _ice_server(server: IceServer) -> RTCIceServer:
    return RTCIceServer(server.url, server.username or None, server.credential or None)
