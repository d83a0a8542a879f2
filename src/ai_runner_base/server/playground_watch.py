"""One page that only looks at a stream, whoever started it and whatever it comes from."""

from __future__ import annotations

import asyncio

from aiohttp import WSMessage, WSMsgType

from ..errors import CallerError
from ..stream import JpegWatch, Output, Stream
from .playground_link import Link, describe
from .playground_messages import ACKNOWLEDGEMENT, Binary, Watch, parse_json
from .playground_session import STATUS_INTERVAL_S
from .playground_wire import Wire
from .webrtc_sessions import TooManyError, WebrtcSessions


class WatchSession:
    """Carries one viewer; made for each connection."""

    def __init__(self, wire: Wire, webrtc: WebrtcSessions) -> None:
        self._wire, self._webrtc = wire, webrtc
        self._ended = asyncio.Event()

    async def run(self, wanted: Watch) -> None:
        """Show the stream until it ends or the page goes.

        :raises CallerError: the page breaks the protocol
        """
        stream = self._webrtc.runner.streams.get(wanted.stream)
        if stream is None or stream.output is None:
            error = CallerError(f"there is no stream {wanted.stream!r} to watch", hint="choose another one")
            await self._wire.refuse("gone", error)
            return
        try:
            with self._webrtc.watching():
                await self._watch(stream, stream.output)
        except TooManyError as error:
            await self._wire.refuse("invalid", error)

    async def _watch(self, stream: Stream, output: Output) -> None:
        watch = JpegWatch(output, self._wire.give, self._ended.set)
        link = Link(self._wire, lambda offer: self._webrtc.view(stream, offer), watch.use_jpeg)
        self._tell_started(stream)
        watch.start()
        jobs = (self._wire.send_all(), self._tell_status(stream), self._await_end(stream), link.run())
        tasks = [asyncio.create_task(job, name="playground watch") for job in jobs]
        try:
            async for message in self._wire.messages():
                self._take(watch, link, message)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await watch.aclose()

    def _tell_started(self, stream: Stream) -> None:
        width, height = stream.frames.output_size
        self._wire.tell(
            "started",
            stream_id=stream.id,
            pipeline=stream.pipeline,
            webrtc=describe(self._webrtc.options),
            width=width,
            height=height,
        )

    def _take(self, watch: JpegWatch, link: Link, message: WSMessage) -> None:
        if message.type is not WSMsgType.TEXT:
            if Binary.decode(message.data).kind != ACKNOWLEDGEMENT:
                raise CallerError("a page that watches sends no pictures")
            watch.sender.acknowledged()
            return
        read = parse_json(message.data)
        if read.get("type") != "seen" and not link.take(read):
            raise CallerError(f"a message of unknown type {read.get('type')!r}")

    async def _await_end(self, stream: Stream) -> None:
        await self._ended.wait()
        await self._wire.end(stream.end_reason)

    async def _tell_status(self, stream: Stream) -> None:
        while True:
            status = stream.status()
            del status["events"]
            self._wire.tell("status", stream=status)
            await asyncio.sleep(STATUS_INTERVAL_S)
