"""The gateway's side of a soak: an endless clip sent in real time, the output judged frame by frame, events kept.

The clip repeats every `LOOP_S` seconds, and every jump of its clock is a multiple of that, so a picture's number
follows from its PTS alone: whatever comes out can be judged without asking the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import numpy as np

from ai_runner_base.errors import PeerError
from ai_runner_base.media import BytePipe, ClipOptions, Decoder, Picture, encode_ts_clip, read_counter
from ai_runner_base.testing.live import FrameBytes, rgb, split_frames
from ai_runner_base.trickle import ClientOptions, Subscriber

PATIENT = ClientOptions(retries=60, reissue_s=2.0)
"""A viewer waits for a peer that is away, and looks again soon for one that counts from the start."""
FPS = 24
LOOP_S = 10
TICKS = 90_000
PERIOD = TICKS // FPS
FIRST_PTS = 20 * TICKS
PACKET = 188
WAITING_MAX_LEVEL = 140
"""White in a waiting picture, which is greyed and dimmed, is darker than this."""


def clip() -> list[FrameBytes]:
    """One turn of the clip in MPEG-TS, a key frame each second, with sound."""
    options = ClipOptions(width=512, height=512, fps=FPS, start_pts=FIRST_PTS)
    return split_frames(encode_ts_clip(LOOP_S, options))


def number_of(pts: int) -> int:
    """The number in the picture at a PTS (1/90000 s)."""
    return (pts - FIRST_PTS) // PERIOD % (LOOP_S * FPS)


class Remultiplexer:
    """Moves MPEG-TS packets in time and numbers them on, as one muxer would that never stops."""

    def __init__(self) -> None:
        self._continuity: dict[int, int] = {}

    def move(self, data: bytes, ticks: int) -> bytes:
        out = bytearray(data)
        for at in range(0, len(out), PACKET):
            self._packet(memoryview(out)[at : at + PACKET], ticks)
        return bytes(out)

    def _packet(self, packet: memoryview, ticks: int) -> None:
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        has_field, has_payload = packet[3] & 0x20, packet[3] & 0x10
        if has_payload:
            counter = self._continuity[pid] = (self._continuity.get(pid, -1) + 1) % 16
            packet[3] = packet[3] & 0xF0 | counter
        start = 4
        if has_field:
            if packet[4] >= 7 and packet[5] & 0x10:
                _move_clock(packet[6:12], ticks)
            start += 1 + packet[4]
        if has_payload and packet[1] & 0x40 and bytes(packet[start : start + 3]) == b"\0\0\1":
            flags = packet[start + 7]
            if flags & 0x80:
                _move_stamp(packet[start + 9 : start + 14], ticks)
            if flags & 0x40:
                _move_stamp(packet[start + 14 : start + 19], ticks)


def _move_stamp(field_: memoryview, ticks: int) -> None:
    raw = int.from_bytes(field_)
    value = (raw >> 33 & 7) << 30 | (raw >> 17 & 0x7FFF) << 15 | raw >> 1 & 0x7FFF
    value = (value + ticks) % (1 << 33)
    marked = raw >> 36 << 36 | (value >> 30) << 33 | 1 << 32 | (value >> 15 & 0x7FFF) << 17
    field_[:] = (marked | 1 << 16 | (value & 0x7FFF) << 1 | 1).to_bytes(5)


def _move_clock(field_: memoryview, ticks: int) -> None:
    raw = int.from_bytes(field_)
    base = ((raw >> 15) + ticks) % (1 << 33)
    field_[:] = (base << 15 | raw & 0x7FFF).to_bytes(6)


@dataclass
class Sender:
    """Sends the clip without end. Set a wish, and the next suitable frame carries it out.

    :param url: of the channel
    """

    http: aiohttp.ClientSession
    url: str
    frames: list[FrameBytes]
    cut_segment: bool = False
    garbage: str = ""
    """``between``: rubbish between two frames; ``instead``: rubbish in place of a part of one."""
    jump_ticks: int = 0
    sent: int = 0
    segments_failed: int = 0
    jumps: list[int] = field(default_factory=list)
    _writer: asyncio.StreamWriter | None = None
    _seq: int = -1
    _lost_touch: bool = False
    _offset: int = 0
    _reading: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Send until cancelled."""
        mux, begin_s, index = Remultiplexer(), time.monotonic(), 0
        try:
            while True:
                frame = self.frames[index % len(self.frames)]
                ticks = index // len(self.frames) * LOOP_S * TICKS
                await asyncio.sleep(max(0.0, begin_s + index / FPS - time.monotonic()))
                if self.jump_ticks and frame.starts_segment:
                    self._offset += self.jump_ticks
                    self.jumps.append(self.jump_ticks)
                    self.jump_ticks = 0
                await self._send(mux.move(frame.data, ticks + self._offset), frame.starts_segment)
                self.sent, index = self.sent + 1, index + 1
        finally:
            for task in self._reading:
                task.cancel()
            await asyncio.gather(*self._reading, return_exceptions=True)
            if self._writer is not None:
                self._writer.transport.abort()

    async def _send(self, data: bytes, starts_segment: bool) -> None:
        if starts_segment:
            await self._next_segment()
        if self.cut_segment and not starts_segment and self._writer is not None:
            self.cut_segment = False
            self._write(data[: len(data) // 2 + 50])
            await asyncio.sleep(0.02)
            self._writer.transport.abort()
            self._writer = None
            return
        if self.garbage == "between":
            self.garbage = ""
            data = random.Random(1).randbytes(5000) + data
        elif self.garbage == "instead" and not starts_segment:
            self.garbage = ""
            keep = len(data) // 3
            data = data[:keep] + random.Random(2).randbytes(len(data) - keep)
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def _next_segment(self) -> None:
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.write(b"0\r\n\r\n")
        self._seq, self._writer = self._seq + 1, None
        target = urlsplit(self.url)
        try:
            async with asyncio.timeout(1):
                if self._lost_touch:
                    async with self.http.get(f"{self.url}/next") as answer:
                        self._seq = int(await answer.text())
                reader, self._writer = await asyncio.open_connection(target.hostname, target.port)
            self._lost_touch = False
        except (OSError, aiohttp.ClientError):
            self.segments_failed += 1
            self._lost_touch = True
            return
        head = f"POST {target.path}/{self._seq} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n"
        self._writer.write(f"{head}Content-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        task = asyncio.create_task(self._answer(reader, self._writer))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()


@dataclass
class Judge:
    """Looks at every picture that comes out, on the decoder's thread.

    :param backward_jumps: of the sender's clock so far, which the output follows
    """

    processed_s: list[float] = field(default_factory=list)
    """`time.monotonic` of every processed picture, as it arrived."""
    shown: int = 0
    waiting: int = 0
    wrong: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    _last_pts: int | None = None
    _backward: int = 0

    def look(self, picture: Picture) -> None:
        pts = round(picture.pts * picture.time_base * TICKS)
        pixels = rgb(picture)
        self.shown += 1
        self._check_order(pts)
        if is_waiting(pixels):
            self.waiting += 1
            return
        number = read_counter(pixels)
        if number != number_of(pts):
            self.wrong.append(f"{pts}: shows {number}, not {number_of(pts)}, after {self.shown} pictures")
        self.processed_s.append(time.monotonic())

    def end(self, error: Exception | None) -> None:
        self.wrong.append(f"the viewer's decoder ended: {error}")

    def may_jump_back(self) -> None:
        """The sender's clock goes back once."""
        self._backward += 1

    def _check_order(self, pts: int) -> None:
        if self._last_pts is not None and pts <= self._last_pts:
            if self._backward:
                self._backward -= 1
            else:
                self.out_of_order.append(f"{pts} after {self._last_pts}")
        self._last_pts = pts

    def longest_gap_s(self, begin_s: float, end_s: float) -> float:
        """Longest time without a processed picture between two moments."""
        inside = [at for at in self.processed_s if begin_s < at < end_s]
        before = max((at for at in self.processed_s if at <= begin_s), default=begin_s)
        return float(max(np.diff([before, *inside, end_s]), default=0.0))


def is_waiting(pixels: np.ndarray) -> bool:
    """Whether this is the runner's waiting picture; only there nothing is bright but the words in its middle."""
    height, width = pixels.shape[:2]
    strip = pixels[round(height * 0.79) : round(height * 0.84), width // 4 : width * 3 // 4]
    return int(strip.max()) < WAITING_MAX_LEVEL


async def view(http: aiohttp.ClientSession, url: str, judge: Judge) -> None:
    """Read a channel for ever, whatever happens to it, and let every picture be judged."""
    pipe = BytePipe()
    decoder = Decoder(pipe, on_video=judge.look, on_end=judge.end)
    decoder.start()
    try:
        while True:
            reader = Subscriber(http, url, options=PATIENT)
            try:
                async for segment in reader:
                    async for chunk in segment:
                        pipe.write(chunk)
                    if not segment.complete:
                        pipe.skip()
            except PeerError:
                pipe.skip()
            finally:
                await reader.aclose()
            await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(decoder.stop)


async def collect_events(http: aiohttp.ClientSession, url: str, events: list[dict]) -> None:
    """Keep every event of the channel, over all its ends and beginnings.

    It looks at every segment that the channel has: a `Subscriber` joins at the live edge, and passes by what was sent
    in the moments after an outage.
    """
    known: set[bytes] = set()
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            for seq in await _kept(http, url):
                async with http.get(f"{url}/{seq}") as answer:
                    body = await answer.read() if answer.status == 200 else b""
                if body and body not in known:
                    known.add(body)
                    events.append({**json.loads(body)["event"], "received_s": time.monotonic()})
        await asyncio.sleep(0.3)


async def _kept(http: aiohttp.ClientSession, url: str) -> range:
    """The segments that a channel has."""
    async with http.get(f"{url}/next") as answer:
        following = int(await answer.text()) if answer.status == 200 else 0
    return range(max(0, following - 4), following)


@contextlib.asynccontextmanager
async def stalled_reader(url: str) -> AsyncIterator[None]:
    """Somebody who asks for the output and does not read it."""
    import socket

    target = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (target.hostname, target.port))
    try:
        head = f"GET {target.path}/-2 HTTP/1.1\r\nHost: {target.netloc}\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(sock, head.encode())
        yield
    finally:
        sock.close()
