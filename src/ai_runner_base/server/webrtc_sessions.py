"""The WebRTC peers of this runner: publishers, each the source of a stream, and viewers of streams' output."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from ..errors import CallerError, RunnerError
from ..stream import (
    PUBLISHED_URL,
    BrowserStream,
    Output,
    PublishedStream,
    Runner,
    Seat,
    Stream,
    StreamRequest,
    encoder_options,
)
from ..webrtc import FrameSource, PeerOptions, load

log = logging.getLogger(__name__)

MAX_PUBLISHERS: Final = 32
MAX_VIEWERS: Final = 64
SETUP_LIMIT_S: Final = 10.0


class TooManyError(RunnerError):
    """No further peer is taken (HTTP 503)."""

    http_status = 503


class TakenError(CallerError):
    """A stream of that name is live (HTTP 409)."""

    http_status = 409


class Peer(Protocol):
    """A publisher or a viewer."""

    async def answer(self, offer: str) -> str:
        """Negotiate."""

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickle ICE fragment."""

    async def aclose(self, reason: str = "closed") -> None:
        """End the connection."""


@dataclass(frozen=True)
class PublishRequest:
    """What a publisher asks for.

    :param stream: the name that the stream shall have; empty: any
    :param bitrate_bps: of the output, at most, and what a browser begins to send with
    """

    pipeline: str
    params: dict[str, Any]
    stream: str
    bitrate_bps: int


@dataclass(frozen=True)
class Session:
    """One peer.

    :param id: secret; whoever knows it may end the session, given the token
    :param about: the pipeline of a publisher, the stream of a viewer, as in its address; empty: it has none
    """

    id: str
    about: str
    peer: Peer
    answer: str
    stream: str


class WebrtcSessions:
    """Opens sessions, finds them by id, and forgets them when their connection ends."""

    def __init__(self, runner: Runner, options: PeerOptions) -> None:
        self.options, self.runner = options, runner
        self._sessions: dict[str, Session] = {}
        self._vp8: WeakValueDictionary[Output, FrameSource] = WeakValueDictionary()
        self.publishers = self.viewers = 0

    def find(self, id: str, about: str) -> Session | None:
        """Return a live session by its address."""
        session = self._sessions.get(id)
        return session if session is not None and session.about == about else None

    async def publish(self, wanted: PublishRequest, offer: str) -> Session:
        """Connect a publisher and start its stream.

        :raises RunnerError: no capacity, no such pipeline, refused parameters, a bad offer, no WebRTC here
        """
        if wanted.stream in self.runner.streams:
            raise TakenError(
                f"a stream {wanted.stream!r} is live", hint="end it first, or choose another name"
            )
        peers = await asyncio.to_thread(load)
        self._count_publisher()
        id, joint = _new_id(), _Joint()

        def on_closed(reason: str) -> None:
            self.publishers -= 1
            self._sessions.pop(id, None)
            joint.close(reason)

        peer = peers.Publisher(
            self.options,
            joint.put,
            on_closed,
            on_sound=joint.put_sound,
            start_bitrate_bps=wanted.bitrate_bps,
        )
        answer = await _negotiate(peer, offer, on_closed)
        try:
            stream = await self._start(wanted, peer, joint)
        except BaseException:
            await peer.aclose("the stream was not started")
            raise
        session = Session(id, wanted.pipeline, peer, answer, stream.id)
        return session if joint.reason else self._keep(session)

    async def _start(self, wanted: PublishRequest, peer: Peer, joint: _Joint) -> Stream:
        def connect(request: StreamRequest, id: str, seat: Seat) -> PublishedStream:
            options = encoder_options(wanted.bitrate_bps)
            joint.live = PublishedStream(request, id, seat, options, peer.aclose)
            return joint.live

        request = StreamRequest(
            PUBLISHED_URL,
            PUBLISHED_URL,
            model_id=wanted.pipeline,
            params=wanted.params,
            stream_id=wanted.stream,
        )
        stream = await self.runner.start_stream(request, connect)
        if joint.reason:
            stream.stop(joint.reason)
        return stream

    async def view(self, stream: Stream, offer: str) -> Session:
        """Connect a viewer to a stream.

        :raises RunnerError: too many viewers, nothing to watch, a bad offer, no WebRTC here
        """
        if stream.output is None:
            raise CallerError(
                f"the output of stream {stream.id!r} cannot be watched; it goes to its own player"
            )
        peers = await asyncio.to_thread(load)
        self._count_viewer()
        id = _new_id()

        def on_closed(_reason: str) -> None:
            self.viewers -= 1
            self._sessions.pop(id, None)

        fallback = self._fallback(peers, stream.output)
        peer = peers.Viewer(self.options, stream.output, on_closed, fallback)
        answer = await _negotiate(peer, offer, on_closed)
        return self._keep(Session(id, stream.id, peer, answer, stream.id))

    async def exchange(
        self, live: BrowserStream, offer: str, on_rtp_origin: Callable[[int], None]
    ) -> Session:
        """Connect the page of a stream, both ways; it counts as a publisher.

        :param on_rtp_origin: see `webrtc.Peers.Exchange`
        :raises RunnerError: too many publishers, a bad offer, no WebRTC here
        """
        peers = await asyncio.to_thread(load)
        self._count_publisher()
        id, output = _new_id(), live.sink.watched.output

        def on_closed(_reason: str) -> None:
            self.publishers -= 1
            self._sessions.pop(id, None)

        peer = peers.Exchange(
            self.options,
            output,
            on_closed,
            self._fallback(peers, output),
            on_frame=live.source.put_frame,
            on_sound=live.source.put_sound,
            on_rtp_origin=on_rtp_origin,
            start_bitrate_bps=live.bitrate_bps,
        )
        answer = await _negotiate(peer, offer, on_closed)
        return self._keep(Session(id, "", peer, answer, live.stream.id))

    def _fallback(self, peers: Any, output: Output) -> FrameSource:
        """Return the output in VP8, the same one for all."""
        found = self._vp8.get(output)
        if found is None:
            found = self._vp8[output] = peers.Vp8Source(output)
        return found

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count a viewer that comes by other ways than WebRTC.

        :raises TooManyError: there are enough
        """
        self._count_viewer()
        try:
            yield
        finally:
            self.viewers -= 1

    def _count_publisher(self) -> None:
        if self.publishers >= MAX_PUBLISHERS:
            raise TooManyError(f"{MAX_PUBLISHERS} publishers are connected already")
        self.publishers += 1

    def _count_viewer(self) -> None:
        if self.viewers >= MAX_VIEWERS:
            raise TooManyError(f"{MAX_VIEWERS} viewers are connected already")
        self.viewers += 1

    def _keep(self, session: Session) -> Session:
        self._sessions[session.id] = session
        return session

    async def close_all(self) -> None:
        """End all sessions, as the server shuts down."""
        await asyncio.gather(*(s.peer.aclose("the runner shuts down") for s in list(self._sessions.values())))


class _Joint:
    """Joins a connection with its stream, whichever is there first."""

    def __init__(self) -> None:
        self.live: PublishedStream | None = None
        self.reason = ""

    def put(self, frame: Any, received_ns: int) -> None:
        if self.live is not None:
            self.live.source.put(frame, received_ns)

    def put_sound(self, frame: Any, received_ns: int) -> None:
        if self.live is not None:
            self.live.source.put_sound(frame, received_ns)

    def close(self, reason: str) -> None:
        self.reason = reason
        if self.live is not None:
            self.live.stream.stop(f"publisher: {reason}")


async def _negotiate(peer: Peer, offer: str, on_closed: Callable[[str], None]) -> str:
    """Answer within a limit; a peer that did not get so far is not counted any more."""
    try:
        async with asyncio.timeout(SETUP_LIMIT_S):
            return await peer.answer(offer)
    except TimeoutError as error:
        on_closed("timeout")
        raise RunnerError(f"no WebRTC answer within {SETUP_LIMIT_S:g} s") from error
    except BaseException:
        on_closed("refused")
        raise


def _new_id() -> str:
    return secrets.token_urlsafe(12)
