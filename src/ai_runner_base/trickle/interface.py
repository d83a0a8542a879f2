"""What a stream needs of a trickle channel, whether it is reached over HTTP or lives in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class SegmentReader(Protocol):
    """One segment being read: iterate to get its bytes as they come."""

    @property
    def seq(self) -> int:
        """Sequence number."""

    @property
    def first_byte_ns(self) -> int:
        """`time.monotonic_ns` when the first byte (or the end, if it is empty) arrived."""

    @property
    def complete(self) -> bool:
        """True once it has been read to its end; False while reading, and for good when the end was lost."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class ChannelReader(Protocol):
    """Segments in order, for ever or until the channel ends. Iterate; then `aclose`."""

    @property
    def retried(self) -> int:
        """How often a request failed, or broke off, and was made again."""

    def __aiter__(self) -> AsyncIterator[SegmentReader]: ...

    async def aclose(self) -> None:
        """Stop reading and leave nothing behind; idempotent."""


class SegmentWriter(Protocol):
    """One segment being written."""

    @property
    def seq(self) -> int:
        """Sequence number of the segment that the next bytes go to."""

    async def __call__(self, data: bytes) -> bool:
        """Write bytes.

        :return: False when they were not taken: the segment has failed and the caller may go on with the next
        """

    async def delivered(self) -> bool:
        """Wait, after the end of the block, until it is known whether the channel has the whole segment."""


class ChannelWriter(Protocol):
    """Writes segments: ``async with writer.segment() as write: await write(data)``."""

    @property
    def segments_failed(self) -> int:
        """How many segments did not reach the channel, or not to their end."""

    @property
    def segments_late(self) -> int:
        """How many segments the channel did not acknowledge soon after their end."""

    def segment(self) -> AbstractAsyncContextManager[SegmentWriter]:
        """Begin the next segment; it ends with the block.

        :raises PeerError: on entering, when the channel has ended or cannot be reached any more
        """

    async def aclose(self, *, delete: bool = False) -> None:
        """Finish what was written and leave nothing behind; idempotent.

        :param delete: also end the channel
        """
