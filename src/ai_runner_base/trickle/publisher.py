"""Writing a channel over HTTP: the next segment's POST is open while this one is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from ..errors import PeerError
from .http import FAULTS, TRUST_FAULTS, TRUST_HINT, Peer, describe, header_seq, short_text
from .options import ClientOptions
from .protocol import HEADER_CLOSED, HEADER_CREATE_MIME, HEADER_LATEST, NEXT_PART
from .upload import Result, Upload

_log = logging.getLogger(__name__)


class ChannelEndedError(PeerError):
    """The peer says that the channel has ended, or never was: a normal end of a stream."""


@dataclass
class PublisherCounters:
    """What became of the segments and bytes so far."""

    segments_sent: int = 0
    segments_failed: int = 0
    segments_late: int = 0
    """Not acknowledged soon after their end; they may be sent or failed since."""
    segments_rolled: int = 0
    """Finished early because nothing was written for a while."""
    bytes_sent: int = 0
    bytes_dropped: int = 0


class Publisher:
    """Writes segments to a channel (a `ChannelWriter`).

    Use ``async with``, or call `aclose`. No call waits for ever, and a failed segment never blocks: its bytes
    are dropped and counted, the next segment is tried. After `ClientOptions.failures` failed ones in a row,
    or when the channel has ended, `failed` is set and `segment` raises it.

    :param session: from `client_session`, or one with room for two connections per channel
    :param url: the channel's URL
    :param mime: content type of the segments
    :param start: first sequence number; None asks the peer, and sends a reset if there was a writer before us
    :param create: make the channel first; orchestrators make theirs by themselves
    :param on_failed: called once when the publisher gives up; must not raise
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        mime: str,
        *,
        options: ClientOptions | None = None,
        start: int | None = None,
        create: bool = False,
        on_failed: Callable[[PeerError], None] | None = None,
    ) -> None:
        self.peer = Peer(session, url, options or ClientOptions())
        self.counters = PublisherCounters()
        self.failed: PeerError | None = None
        self._mime = mime
        self._seq = start
        self._create = create
        self._on_failed = on_failed
        self._reset = False
        self._ahead: Upload | None = None
        self._uploads: set[Upload] = set()
        self._notices: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._first_failure_s = 0.0
        self._closing = False

    @property
    def segments_failed(self) -> int:
        """How many segments did not reach the channel, or not to their end."""
        return self.counters.segments_failed

    @property
    def segments_late(self) -> int:
        """How many segments the channel did not acknowledge soon after their end."""
        return self.counters.segments_late

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @asynccontextmanager
    async def segment(self) -> AsyncIterator[SegmentUpload]:
        """Begin the next segment; it ends with the block, whose end does not wait for the answer.

        :raises ChannelEndedError: on entering, when the channel has ended
        :raises PeerError: on entering, when the peer cannot be reached
        """
        segment = SegmentUpload(self, await self.take())
        try:
            yield segment
        finally:
            segment.finish()

    async def open(self) -> None:
        """Connect before there is anything to write; `segment` does so by itself.

        :raises ChannelEndedError: the channel does not exist
        :raises PeerError: the peer cannot be reached
        """
        if self._closing:
            raise PeerError(f"the publisher of {self.peer.name} is closed")
        self._check()
        if self._create:
            await self._ask("POST", "", {HEADER_CREATE_MIME: self._mime})
            self._create = False
        if self._seq is None or (self._ahead is not None and self._ahead.result is Result.CONSUMED):
            await self._ask_next(restart=self._seq is None)
        if self._ahead is None:
            self._ahead = self._start(self._seq or 0)

    async def take(self) -> Upload:
        """Get the upload of the next segment, and open the POST after it.

        :raises PeerError: as `open`
        """
        await self._limit_in_flight()
        await self.open()
        upload, self._ahead = self._ahead, None
        if upload is None:  # closed while we waited
            raise PeerError(f"the publisher of {self.peer.name} is closed")
        self._ahead = self._start(upload.seq + 1)
        return upload

    async def aclose(self, *, delete: bool = False) -> None:
        """Let finished segments be answered, drop the rest; every task is gone afterwards. Idempotent.

        Takes at most twice `ClientOptions.answer_timeout_s`.

        :param delete: also end the channel, which sends its readers home
        """
        self._closing = True
        ahead, self._ahead = self._ahead, None
        begun = self._uploads - {ahead}
        for upload in begun:
            upload.finish()
        try:
            await self._settle(begun)
            if delete and self.failed is None:
                await self._delete("")
        finally:
            for upload in self._uploads:
                upload.abort("the publisher was closed")
            for notice in self._notices:
                notice.cancel()
        await self._settle(self._uploads)
        if self._notices:
            await asyncio.wait(self._notices)

    async def _settle(self, uploads: Collection[Upload]) -> None:
        """Wait for uploads, as long as an answer may take."""
        tasks = {upload.task for upload in uploads}
        if tasks:
            await asyncio.wait(tasks, timeout=self.peer.options.answer_timeout_s)

    # --- sequence numbers ---

    async def _ask_next(self, *, restart: bool) -> None:
        """Learn where the channel stands.

        :raises PeerError: it has ended, or the peer cannot be reached
        """
        self._seq = await self._ask("GET", NEXT_PART) or 0
        self._ahead = None
        self._reset = restart and self._seq > 0

    async def _ask(self, method: str, part: str, headers: Mapping[str, str] | None = None) -> int | None:
        """Ask until there is an answer.

        :return: the channel's next number, if the answer has it
        :raises PeerError: the channel has ended, or the peer cannot be reached
        """
        reason = ""
        for attempt in range(self.peer.options.retries + 1):
            if attempt:
                await asyncio.sleep(self.peer.options.retry_delay_s)
            try:
                return await self._ask_once(method, part, headers)
            except ChannelEndedError as error:
                raise self._fail(error) from None
            except TRUST_FAULTS as error:
                untrusted = PeerError(f"{self.peer.name} is not trusted: {error}", hint=TRUST_HINT)
                raise self._fail(untrusted) from error
            except PeerError as error:
                reason = error.message
            except FAULTS as error:
                reason = describe(error)
        raise self._fail(PeerError(f"{method} {self.peer.name}/{part} failed: {reason}"))

    async def _ask_once(self, method: str, part: str, headers: Mapping[str, str] | None) -> int | None:
        async with asyncio.timeout(self.peer.options.answer_timeout_s):
            response = await self.peer.request(method, part, headers=headers)
            try:
                text = await short_text(response)
            finally:
                response.close()
        answer = f"HTTP {response.status} {text}".strip()
        if response.status == 404 or HEADER_CLOSED in response.headers:
            raise ChannelEndedError(f"trickle channel {self.peer.name} does not exist: {answer}")
        latest = header_seq(response, HEADER_LATEST)
        if part == NEXT_PART and response.status == 400:
            return 0  # go-livepeer before 0.8.11 takes the word for a bad number
        if response.status != 200 or (part == NEXT_PART and (latest is None or latest < 0)):
            raise PeerError(answer)
        return latest

    # --- uploads ---

    def _start(self, seq: int) -> Upload:
        reset, self._reset = self._reset, False
        self._seq = seq + 1
        upload = Upload(self.peer, seq, self._mime, reset=reset, on_done=self._done, on_late=self._count_late)
        self._uploads.add(upload)
        return upload

    async def _limit_in_flight(self) -> None:
        """Wait a little for answers when too many are outstanding, then give the oldest up."""
        options = self.peer.options
        waiting = [upload for upload in self._uploads if upload.finished]
        if len(waiting) < options.in_flight:
            return
        oldest = min(waiting, key=lambda upload: upload.seq)
        await asyncio.wait({oldest.task}, timeout=options.write_timeout_s)
        if not oldest.task.done():
            oldest.abort(f"{len(waiting)} segments are unanswered")
            await asyncio.wait({oldest.task})

    def _done(self, upload: Upload) -> None:
        self._uploads.discard(upload)
        if upload.result is Result.SENT:
            self._failures = 0
            self.counters.segments_sent += 1
            self.counters.bytes_sent += upload.sent_bytes
        elif upload.result is Result.NO_CHANNEL or upload.result is Result.CLOSED:
            self._fail(ChannelEndedError(f"trickle channel {self.peer.name} has ended: {upload.reason}"))
        elif upload.result is Result.FAILED and upload.begun:
            self._count_failure(upload)

    def _count_late(self) -> None:
        self.counters.segments_late += 1

    def _count_failure(self, upload: Upload) -> None:
        self.counters.segments_failed += 1
        now_s = asyncio.get_running_loop().time()
        self._first_failure_s = self._first_failure_s if self._failures else now_s
        self._failures += 1
        what = f"writing {self.peer.name}/{upload.seq} failed: {upload.reason}"
        _log.warning("%s", what)
        options, outage_s = self.peer.options, now_s - self._first_failure_s
        if self._failures >= options.failures and outage_s >= options.outage_s:
            self._fail(PeerError(f"{what}, {self._failures} segments in a row"))
        elif upload.sent_bytes:
            # Its readers would wait for the rest until the segment falls out of the peer's memory.
            notice = asyncio.create_task(self._delete(upload.seq), name=f"trickle-end-{upload.seq}")
            self._notices.add(notice)
            notice.add_done_callback(self._notices.discard)

    async def _delete(self, part: int | str) -> None:
        try:
            async with asyncio.timeout(self.peer.options.answer_timeout_s):
                response = await self.peer.request("DELETE", part)
                try:
                    await short_text(response)
                finally:
                    response.close()
        except FAULTS as error:
            _log.info("DELETE %s/%s: %s", self.peer.name, part, describe(error))

    # --- the end ---

    def _fail(self, error: PeerError) -> PeerError:
        """Give up, for this reason unless there was one before; returns the reason."""
        if self._closing:
            return error  # the end of the channel is our own doing
        if self.failed is None:
            self.failed = error
            if self._on_failed is not None:
                self._on_failed(error)
        return self.failed

    def _check(self) -> None:
        if self.failed is not None:
            raise self.failed


class SegmentUpload:
    """Writes one segment over HTTP (a `SegmentWriter`); made by `Publisher.segment`."""

    def __init__(self, publisher: Publisher, upload: Upload) -> None:
        self._publisher = publisher
        self._upload = upload
        self._rolled = False
        self._written_s = 0.0
        self._idle: asyncio.TimerHandle | None = None

    @property
    def seq(self) -> int:
        """Sequence number of the segment that bytes go to."""
        return self._upload.seq

    async def __call__(self, data: bytes) -> bool:
        """Write bytes; never blocks for longer than `ClientOptions.write_timeout_s`.

        :return: False when they were dropped
        """
        if not data:
            return True
        accepted = (not self._rolled or await self._take_next()) and await self._upload.write(data)
        if not accepted:
            self._publisher.counters.bytes_dropped += len(data)
            return False
        loop = asyncio.get_running_loop()
        self._written_s = loop.time()
        if self._idle is None:
            self._idle = loop.call_later(self._publisher.peer.options.roll_idle_s, self._roll_if_idle)
        return True

    def finish(self) -> None:
        """End the segment; idempotent."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._upload.finish()

    async def delivered(self) -> bool:
        """Wait for the answer to the segment, finished before, as long as an answer may take.

        :return: whether the peer has all of it
        """
        await asyncio.wait({self._upload.task})
        return self._upload.result is Result.SENT

    async def _take_next(self) -> bool:
        """After the segment was rolled: get the one that bytes go to from now on."""
        try:
            self._upload = await self._publisher.take()
        except PeerError:
            return False
        self._rolled = False
        return True

    def _roll_if_idle(self) -> None:
        """End a segment that gets no bytes, so that its readers are not kept waiting."""
        loop = asyncio.get_running_loop()
        due_s = self._written_s + self._publisher.peer.options.roll_idle_s
        if loop.time() < due_s:
            self._idle = loop.call_at(due_s, self._roll_if_idle)
            return
        self._idle = None
        self._upload.finish()
        self._rolled = True
        self._publisher.counters.segments_rolled += 1
