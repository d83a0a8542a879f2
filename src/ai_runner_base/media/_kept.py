"""What a decoder has been given since it could begin, so that another one can take its place without a gap."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.stream import Stream

from ai_runner_base.media._bitstream import can_start_decoding

LIMIT_BYTES = 32 << 20
"""Of one group of pictures; a longer one is not kept, and a new decoder has to wait for the next."""


class KeptPackets:
    """The packets from the last key frame on.

    :param codec: FFmpeg's decoder name
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._packets: list[av.Packet[Stream]] = []
        self._size_bytes = 0

    def __iter__(self) -> Iterator[av.Packet[Stream]]:
        return iter(self._packets)

    @property
    def usable(self) -> bool:
        """Whether a decoder that knows nothing can begin with the first one."""
        return bool(self._packets)

    def add(self, packet: av.Packet[Stream]) -> None:
        """Keep one more; a key frame makes the ones before it superfluous."""
        starts = can_start_decoding(self._codec, bytes(packet))
        if starts or self._size_bytes + packet.size > LIMIT_BYTES:
            self.clear()
        if starts or self._packets:
            self._packets.append(packet)
            self._size_bytes += packet.size

    def clear(self) -> None:
        """Forget all."""
        self._packets = []
        self._size_bytes = 0
