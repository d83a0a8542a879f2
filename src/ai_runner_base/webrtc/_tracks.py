"""The tracks that a viewer gets: pictures and sound that are encoded already, once for all who watch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from ._types import Coded, FrameSource, Sound

RTP_TIME_BASE = Fraction(1, 90_000)
QUEUE_FRAMES = 10
"""What may wait for a viewer's connection; beyond it, it goes on at the next key frame."""
QUEUE_SOUNDS = 50
SOUND_WAIT_S = 0.5
"""Longest wait of sound for its picture, which is still in the pipeline."""


class _Subscriber(MediaStreamTrack):
    """A track that has a subscription from its first packet on, and none once it has stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._unsubscribe: Callable[[], None] | None = None
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """End the subscription."""
        super().stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._changed.set()


class EncodedTrack(_Subscriber):
    """Frames for one viewer, from a key frame on. The library packs packets without encoding them again."""

    kind = "video"

    def __init__(self, source: FrameSource, on_end: Callable[[], None]) -> None:
        super().__init__()
        self.source, self._on_end = source, on_end
        self._waiting: deque[Coded] = deque()
        self._in_step = False
        self.skipped = 0
        self.sent_pts: int | None = None
        """Of the frame that was given last, in 1/90000 s."""
        self.on_sent: Callable[[], None] = lambda: None
        self.on_next: Callable[[], None] = lambda: None
        """Called when the last frame has been sent and the next one is asked for."""

    async def recv(self) -> Any:
        """Wait for the next frame and return it as `av.Packet`. The first call comes once the viewer is connected."""
        if self._unsubscribe is None and self.readyState == "live":
            self._unsubscribe = self.source.subscribe(self._put)
            self.source.request_key_frame()
        self.on_next()
        while not self._waiting:
            if self.readyState != "live":
                raise MediaStreamError
            self._changed.clear()
            await self._changed.wait()
        coded = self._waiting.popleft()
        packet = av.Packet(coded.data)
        packet.pts, packet.time_base = coded.pts, RTP_TIME_BASE
        self.sent_pts = coded.pts
        self.on_sent()
        return packet

    def request_key_frame(self) -> None:
        """Ask for a key frame in the codec that this viewer gets."""
        self.source.request_key_frame()

    def _put(self, coded: Coded | None) -> None:
        if coded is None:
            self._on_end()
            return
        if len(self._waiting) >= QUEUE_FRAMES:
            self.skipped += len(self._waiting)
            self._waiting.clear()
            self._in_step = False
            self.source.request_key_frame()
        self._in_step = self._in_step or coded.key_frame
        if self._in_step:
            self._waiting.append(coded)
            self._changed.set()
        else:
            self.skipped += 1


class EncodedSound(_Subscriber):
    """Packets of Opus for one viewer, each sent when its picture is: the pipeline delays pictures, but no sound.

    :param pictures: the viewer's other track
    """

    kind = "audio"

    def __init__(self, source: FrameSource, pictures: EncodedTrack) -> None:
        super().__init__()
        self._source, self._pictures = source, pictures
        self._waiting: deque[tuple[Sound, float]] = deque(maxlen=QUEUE_SOUNDS)
        pictures.on_sent = self._changed.set

    async def recv(self) -> Any:
        """Wait for the next packet and return it as `av.Packet`."""
        if self._unsubscribe is None and self.readyState == "live":
            self._unsubscribe = self._source.subscribe_sound(self._put)
        while not self._is_due():
            if self.readyState != "live":
                raise MediaStreamError
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SOUND_WAIT_S if self._waiting else None):
                    await self._changed.wait()
        sound, _ = self._waiting.popleft()
        packet = av.Packet(sound.data)
        packet.pts, packet.time_base = sound.pts, RTP_TIME_BASE
        return packet

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        sound, arrived_s = self._waiting[0]
        shown = self._pictures.sent_pts
        return (shown is not None and sound.pts <= shown) or time.monotonic() - arrived_s >= SOUND_WAIT_S

    def _put(self, sound: Sound) -> None:
        self._waiting.append((sound, time.monotonic()))
        self._changed.set()
