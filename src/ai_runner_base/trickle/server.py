"""The trickle server: aiohttp routes around the channels, and the same channels for this process.

The state is in `channel`, the handlers are in `routes`; here they are put together and given their clocks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from ..errors import CallerError
from .channel import Channel, Channels, Limits
from .local import LocalPublisher, LocalSubscriber
from .protocol import BASE_PATH, CURRENT, DEFAULT_MIME
from .routes import Routes, ServerOptions

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChannelInfo:
    """A channel at one moment, for people and metrics."""

    name: str
    mime: str
    next_write: int
    held_bytes: int
    bytes_in: int
    segments_started: int
    segments_cut: int
    segments_dropped: int


class TrickleServer:
    """Channels of this process, reachable over HTTP and directly.

    One event loop, the one that serves the routes.

    :param limits: memory that clients may take
    :param options: clocks, and whether clients may create channels
    :param clock: seconds, monotonic; for the idle sweep
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        options: ServerOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options or ServerOptions()
        self._clock = clock
        self._channels = Channels(limits or Limits(), clock)
        self._routes = Routes(self._channels, self.options, clock)

    def routes(self, base: str = BASE_PATH) -> list[web.RouteDef]:
        """Give the routes alone, for an application that sweeps and closes by itself; see `attach`."""
        return self._routes.table(base)

    def attach(self, app: web.Application, base: str = BASE_PATH) -> None:
        """Add the routes, the idle sweep, and a shutdown that tells readers that their channels ended."""
        app.add_routes(self.routes(base))
        app.cleanup_ctx.append(self._sweeping)
        app.on_shutdown.append(self._on_shutdown)

    # --- for this process ---

    def create(self, name: str, mime: str = DEFAULT_MIME) -> None:
        """Make a channel; one that exists stays as it is.

        :raises CallerError: the name is not one path part, or there are too many channels
        """
        if not name or "/" in name:
            raise CallerError(f"trickle channel name {name!r} must be one path part")
        self._channels.create(name, mime)

    def close(self, name: str) -> bool:
        """End a channel: readers get what there is and are told; False when there is none of that name."""
        return self._channels.close(name)

    def publish(self, name: str) -> LocalPublisher:
        """Write to a channel of this server.

        :raises CallerError: there is no such channel
        """
        return LocalPublisher(self._channels, self._existing(name), self._clock)

    def subscribe(self, name: str, start: int = CURRENT) -> LocalSubscriber:
        """Read a channel of this server.

        :raises CallerError: there is no such channel
        """
        return LocalSubscriber(self._existing(name), start)

    def channels(self) -> list[ChannelInfo]:
        """List the open channels."""
        return [_info(channel) for channel in self._channels]

    def sweep(self) -> list[str]:
        """Close the channels that are idle now; `attach` does so regularly.

        :return: their names
        """
        names = self._channels.sweep(self.options.idle_timeout_s)
        for name in names:
            _log.info("closed idle trickle channel %s", name)
        return names

    async def aclose(self) -> None:
        """End all channels; writers in the middle of a body are given a moment, then cut off."""
        for channel in self._channels:
            self._channels.close(channel.name)
        await self._routes.drain()

    def _existing(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            raise CallerError(f"there is no trickle channel {name!r}", hint="create it first")
        return channel

    async def _sweeping(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._sweep_for_ever(), name="trickle-sweep")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.options.sweep_interval_s)
            self.sweep()

    async def _on_shutdown(self, _: web.Application) -> None:
        await self.aclose()


def _info(channel: Channel) -> ChannelInfo:
    counters = channel.counters
    return ChannelInfo(
        name=channel.name,
        mime=channel.mime,
        next_write=channel.next_write,
        held_bytes=channel.cost_bytes,
        bytes_in=counters.bytes_in,
        segments_started=counters.segments_started,
        segments_cut=counters.segments_cut,
        segments_dropped=counters.segments_dropped,
    )
