"""The runner's end of the control socket, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..wire import WireError, control

_MAX_UNSENT_BYTES = 4 * 1024 * 1024


class ControlChannel(asyncio.Protocol):
    """Messages both ways.

    :param on_message: called with each message
    :param on_broken: called once when the worker broke the protocol or does not read
    """

    def __init__(
        self, on_message: Callable[[control.ControlMessage], None], on_broken: Callable[[str], None]
    ) -> None:
        self._on_message = on_message
        self._on_broken = on_broken
        self._decoder = control.Decoder()
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()

    def send(self, message: control.ControlMessage) -> None:
        """Send without waiting; after the end of the connection nothing happens.

        :raises WireError: the message is too large
        """
        packet = control.encode(message)
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(packet)
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self._break("the worker does not read its control messages")

    async def aclose(self) -> None:
        """Close the connection, unsent messages are dropped."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            messages = self._decoder.feed(data)
        except WireError as error:
            self._break(f"the worker broke the control protocol: {error}")
            return
        for message in messages:
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop. The end of the process is seen elsewhere."""
        self._closed.set()

    def _break(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._on_broken(reason)
