"""One playground session: a connection and the stream behind it. Whatever ends either ends both.

A closed tab and a killed browser close the connection; a hung one no longer answers the status that it gets twice a
second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psutil
from aiohttp import WSMessage, WSMsgType

from ..errors import CallerError, CapacityError, RunnerError
from ..stream import BROWSER_URL, BrowserStream, StreamRequest
from ..supervisor import ParamsRejected, Supervisor
from .playground_link import Link, describe
from .playground_messages import PICTURE, Binary, Params, Start, parse, parse_json
from .playground_wire import Wire
from .webrtc_sessions import Session as Peering
from .webrtc_sessions import WebrtcSessions

STATUS_INTERVAL_S = 0.5
RETRY_AFTER_S = 1.0


class Session:
    """Carries one session; made for each connection."""

    def __init__(self, wire: Wire, webrtc: WebrtcSessions) -> None:
        self._wire, self._webrtc, self._runner = wire, webrtc, webrtc.runner
        self._wanted_params: asyncio.Queue[Params] = asyncio.Queue(1)
        self._told_schema: object = None

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self, start: Start) -> None:
        """Start the page's stream, carry it, clean up.

        :raises CallerError: what it asks for cannot be served, or it breaks the protocol
        """
        if not self._runner.pool.settled:
            await self._wire.tell_first("measuring")
        try:
            live = await self._start_stream(start)
        except CapacityError as error:
            await self._wire.refuse("capacity", error, retry_after_s=RETRY_AFTER_S)
            return
        except RunnerError as error:
            await self._wire.refuse("invalid", error)
            return
        link = Link(self._wire, lambda offer: self._exchange(live, offer), live.sink.use_jpeg)
        tasks = [asyncio.create_task(job, name="playground") for job in self._jobs(live, link)]
        try:
            async for message in self._wire.messages():
                self._take(live, link, message)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._runner.stop_stream(live.stream.id, "the page was closed")

    def _jobs(self, live: BrowserStream, link: Link) -> list[Coroutine[Any, Any, None]]:
        return [
            self._wire.send_all(),
            self._tell_status(live),
            self._apply_params(live),
            self._await_end(live),
            link.run(),
        ]

    async def _start_stream(self, start: Start) -> BrowserStream:
        made: list[BrowserStream] = []

        def connect(request: StreamRequest, id: str, seat: Any) -> BrowserStream:
            made.append(BrowserStream(request, id, seat, self._wire.give, self._wire.taken))
            return made[0]

        request = StreamRequest(BROWSER_URL, BROWSER_URL, model_id=start.pipeline, params=start.params)
        stream = await self._runner.start_stream(request, connect)
        live = made[0]
        stream.events.listen(self._tell_event)
        size = {"width": stream.frames.width, "height": stream.frames.height}
        webrtc = describe(self._webrtc.options)
        self._wire.tell("started", stream_id=stream.id, pipeline=stream.pipeline, webrtc=webrtc, **size)
        self._tell_schema(live)
        return live

    async def _exchange(self, live: BrowserStream, offer: str) -> Peering:
        def tell_clock(rtp_origin: int) -> None:
            self._wire.tell("clock", rtp_origin=rtp_origin)

        return await self._webrtc.exchange(live, offer, tell_clock)

    async def _await_end(self, live: BrowserStream) -> None:
        await live.ended.wait()
        await self._wire.end(live.stream.end_reason)

    # --- from the page --------------------------------------------------------------------------------------

    def _take(self, live: BrowserStream, link: Link, message: WSMessage) -> None:
        if message.type is WSMsgType.TEXT:
            self._take_json(live, link, parse_json(message.data))
            return
        binary = Binary.decode(message.data)
        if binary.kind == PICTURE:
            live.source.put(binary.jpeg, binary.time_us)
        else:
            live.sink.jpeg.acknowledged()

    def _take_json(self, live: BrowserStream, link: Link, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "seen":
                pass  # that it came is what counts
            case "params":
                self._want_params(parse(Params, message))
            case "log":
                self._wire.tell("log", lines=list(live.seat.supervisor.log_tail))
            case other:
                if not link.take(message):
                    raise CallerError(f"a message of unknown type {other!r}")

    def _want_params(self, wanted: Params) -> None:
        if self._wanted_params.full():
            replaced = self._wanted_params.get_nowait()
            self._wire.tell("params", n=replaced.n, ok=False, superseded=True)
        self._wanted_params.put_nowait(wanted)

    async def _apply_params(self, live: BrowserStream) -> None:
        while True:
            wanted = await self._wanted_params.get()
            try:
                applied = await live.stream.replace_params(wanted.params)
            except RunnerError as error:
                broken = error.errors if isinstance(error, ParamsRejected) else ()
                self._wire.tell("params", n=wanted.n, ok=False, message=str(error), errors=list(broken))
            else:
                self._wire.tell("params", n=wanted.n, ok=True, **applied)

    # --- to the page ----------------------------------------------------------------------------------------

    def _tell_event(self, body: dict[str, Any]) -> None:
        if body["event"]["type"] != "status":
            self._wire.tell("event", event=body["event"])

    def _tell_schema(self, live: BrowserStream) -> None:
        """Describe the parameters, as soon as the worker has loaded and knows them, and when a new one has others."""
        info = live.seat.supervisor.info
        if info is not None and info.params_schema != self._told_schema:
            self._told_schema = info.params_schema
            self._wire.tell("schema", params_schema=info.params_schema, default_params=info.default_params)

    async def _tell_status(self, live: BrowserStream) -> None:
        while True:
            self._tell_schema(live)
            status = live.stream.status()
            del status["events"]
            self._wire.tell("status", stream=status, worker=_describe_worker(live.seat.supervisor))
            await asyncio.sleep(STATUS_INTERVAL_S)


def _describe_worker(supervisor: Supervisor) -> dict[str, Any]:
    info, error = supervisor.info, supervisor.last_error
    return {
        "state": supervisor.state.value,
        "restarts": supervisor.restart_count,
        "error": str(error) if error else "",
        "load_s": info.load_s if info else None,
        "memory_bytes": _memory_bytes(info.pid) if info else None,
    }


def _memory_bytes(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
