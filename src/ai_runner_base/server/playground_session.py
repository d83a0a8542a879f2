"""One playground session: a WebSocket and the stream behind it. Whatever ends either ends both.

A closed tab and a killed browser close the socket; a hung one no longer answers the status that it gets twice a
second. All messages to the page go through one bounded outbox, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Coroutine
from typing import Any

import psutil
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from ..errors import CallerError, CapacityError, RunnerError
from ..stream import BROWSER_URL, BrowserResult, BrowserStream, Runner, StreamRequest
from ..supervisor import ParamsRejected, Supervisor
from .access import same_token
from .playground_messages import (
    ACKNOWLEDGEMENT,
    PICTURE,
    WAITING_PICTURE,
    Binary,
    Params,
    Start,
    parse,
    parse_json,
    refusal,
)

log = logging.getLogger(__name__)

START_LIMIT_S = 5.0
SILENCE_LIMIT_S = 4.0
STATUS_INTERVAL_S = 0.5
SEND_LIMIT_S = 4.0
RETRY_AFTER_S = 1.0
WRONG_TOKEN_PAUSE_S = 0.5
MAX_MESSAGES_PER_S = 400
"""Pictures, acknowledgements and the rest of a page at 60 frames a second stay below half of this."""
OUTBOX_MESSAGES = 64


class Session:
    """Carries one session; made for each connection.

    :param auth_token: wanted in the first message when not empty
    """

    def __init__(self, socket: web.WebSocketResponse, runner: Runner, auth_token: str) -> None:
        self._socket, self._runner, self._auth_token = socket, runner, auth_token
        self._outbox: asyncio.Queue[bytes | str] = asyncio.Queue(OUTBOX_MESSAGES)
        self._wanted_params: asyncio.Queue[Params] = asyncio.Queue(1)
        self._live: BrowserStream | None = None
        self._told_schema: object = None
        self._rate = _Rate(MAX_MESSAGES_PER_S)

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Admit the page, carry its stream, clean up."""
        try:
            live = await self._admit()
        except RunnerError as error:
            await self._refuse("invalid", error)
            return
        if live is None:
            return
        tasks = [asyncio.create_task(job, name="playground") for job in self._jobs(live)]
        broken: CallerError | None = None
        try:
            await self._receive_all(live)
        except CallerError as error:
            log.warning("the page broke the protocol: %s", error)
            broken = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._runner.stop_stream(live.stream.id, "the page was closed")
        if broken is not None:
            await self._refuse("protocol", broken)

    def _jobs(self, live: BrowserStream) -> list[Coroutine[Any, Any, None]]:
        return [self._send_all(), self._tell_status(live), self._apply_params(live), self._await_end(live)]

    async def _admit(self) -> BrowserStream | None:
        """Wait for the first message and start a stream; None when the page has been told no, or has gone.

        :raises CallerError: what it asks for cannot be served
        """
        try:
            async with asyncio.timeout(START_LIMIT_S):
                message = await self._socket.receive()
        except TimeoutError as error:
            raise CallerError(f"no start message within {START_LIMIT_S:g} s") from error
        if message.type is not WSMsgType.TEXT:
            return None
        start = parse(Start, parse_json(message.data))
        if not same_token(start.token, self._auth_token):
            await asyncio.sleep(WRONG_TOKEN_PAUSE_S)
            words = "wrong token" if start.token else "this runner asks for a token"
            await self._refuse("token", CallerError(words))
            return None
        try:
            return await self._start_stream(start)
        except CapacityError as error:
            await self._refuse("capacity", error, retry_after_s=RETRY_AFTER_S)
            return None

    async def _start_stream(self, start: Start) -> BrowserStream:
        made: list[BrowserStream] = []

        def connect(request: StreamRequest, id: str, seat: Any) -> BrowserStream:
            made.append(BrowserStream(request, id, seat, self._give, self._taken))
            return made[0]

        request = StreamRequest(BROWSER_URL, BROWSER_URL, model_id=start.pipeline, params=start.params)
        stream = await self._runner.start_stream(request, connect)
        live = self._live = made[0]
        stream.events.listen(self._tell_event)
        size = {"width": stream.frames.width, "height": stream.frames.height}
        self._tell("started", stream_id=stream.id, pipeline=stream.pipeline, **size)
        self._tell_schema(live)
        return live

    async def _refuse(self, code: str, error: RunnerError, **more: Any) -> None:
        if not self._socket.closed:
            await self._socket.send_json(refusal(code, error, **more))
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def _await_end(self, live: BrowserStream) -> None:
        await live.ended.wait()
        self._tell("ended", reason=live.stream.end_reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._outbox.join()
        await self._socket.close()

    # --- from the page --------------------------------------------------------------------------------------

    async def _receive_all(self, live: BrowserStream) -> None:
        """Take messages until the page is gone.

        :raises CallerError: it breaks the protocol
        """
        try:
            while True:
                async with asyncio.timeout(SILENCE_LIMIT_S):
                    message = await self._socket.receive()
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    return
                self._rate.count()
                self._take(live, message)
        except TimeoutError:
            log.warning("the page did not answer for %g s", SILENCE_LIMIT_S)

    def _take(self, live: BrowserStream, message: WSMessage) -> None:
        if message.type is WSMsgType.TEXT:
            self._take_json(live, parse_json(message.data))
            return
        binary = Binary.decode(message.data)
        if binary.kind == PICTURE:
            live.source.put(binary.jpeg, binary.time_us)
        else:
            live.sink.acknowledged()

    def _take_json(self, live: BrowserStream, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "seen":
                pass  # that it came is what counts
            case "params":
                self._want_params(parse(Params, message))
            case "log":
                self._tell("log", lines=list(live.seat.supervisor.log_tail))
            case other:
                raise CallerError(f"a message of unknown type {other!r}")

    def _want_params(self, wanted: Params) -> None:
        if self._wanted_params.full():
            replaced = self._wanted_params.get_nowait()
            self._tell("params", n=replaced.n, ok=False, superseded=True)
        self._wanted_params.put_nowait(wanted)

    async def _apply_params(self, live: BrowserStream) -> None:
        while True:
            wanted = await self._wanted_params.get()
            try:
                applied = await live.stream.replace_params(wanted.params)
            except RunnerError as error:
                broken = error.errors if isinstance(error, ParamsRejected) else ()
                self._tell("params", n=wanted.n, ok=False, message=str(error), errors=list(broken))
            else:
                self._tell("params", n=wanted.n, ok=True, **applied)

    # --- to the page ----------------------------------------------------------------------------------------

    def _give(self, result: BrowserResult) -> None:
        flags = WAITING_PICTURE if result.is_waiting_picture else 0
        self._post(Binary(PICTURE, result.seq, result.time_us, result.jpeg, flags).encode())

    def _taken(self, time_us: int) -> None:
        self._post(Binary(ACKNOWLEDGEMENT, 0, time_us).encode())

    def _tell(self, type: str, **fields: Any) -> None:
        self._post(json.dumps({"type": type, **fields}, default=str))

    def _post(self, message: bytes | str) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            log.debug("the page reads nothing; a message is left out")

    async def _send_all(self) -> None:
        """Send what is in the outbox; close the connection when the page reads nothing for too long."""
        try:
            while True:
                message = await self._outbox.get()
                async with asyncio.timeout(SEND_LIMIT_S):
                    await self._send(message)
                self._outbox.task_done()
        except (TimeoutError, ConnectionError):
            await self._socket.close(code=WSCloseCode.GOING_AWAY)

    async def _send(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            await self._socket.send_bytes(message)
        else:
            await self._socket.send_str(message)

    def _tell_event(self, body: dict[str, Any]) -> None:
        if body["event"]["type"] != "status":
            self._tell("event", event=body["event"])

    def _tell_schema(self, live: BrowserStream) -> None:
        """Describe the parameters, as soon as the worker has loaded and knows them, and when a new one has others."""
        info = live.seat.supervisor.info
        if info is not None and info.params_schema != self._told_schema:
            self._told_schema = info.params_schema
            self._tell("schema", params_schema=info.params_schema, default_params=info.default_params)

    async def _tell_status(self, live: BrowserStream) -> None:
        while True:
            self._tell_schema(live)
            status = live.stream.status()
            del status["events"]
            self._tell("status", stream=status, worker=_describe_worker(live.seat.supervisor))
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


class _Rate:
    """Messages within the running second."""

    def __init__(self, limit: int) -> None:
        self._limit, self._second, self._count = limit, 0, 0

    def count(self) -> None:
        """Count one.

        :raises CallerError: too many
        """
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > self._limit:
            raise CallerError(f"more than {self._limit} messages in a second")
