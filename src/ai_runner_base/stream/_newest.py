"""A source that gives the newest of what a connection puts in, on a thread of its own; sound goes along."""

from __future__ import annotations

import abc
import asyncio
import logging
import threading
from collections import deque
from fractions import Fraction
from typing import Generic, TypeVar

import av

from ..media import AudioInfo, AudioPacket
from ._ends import Feed

log = logging.getLogger(__name__)

STOP_LIMIT_S = 2.0
SOUND_FRAMES = 50
"""What may wait, 20 ms each; the oldest go first."""
SOUND_DRIFT_S = 0.1
"""Sound that is further from its pictures than this is moved; less is left alone, as moving it is heard."""
NANOSECONDS = Fraction(1, 1_000_000_000)

ItemT = TypeVar("ItemT")


class NewestSource(abc.ABC, Generic[ItemT]):
    """Keeps one item waiting; a newer one takes its place."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: ItemT | None = None
        self._sound: deque[tuple[av.AudioFrame, int]] = deque(maxlen=SOUND_FRAMES)
        self._clock = SoundClock()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self, feed: Feed) -> None:
        """Begin to give."""
        self._thread = threading.Thread(target=self._run, args=(feed,), name="decode newest")
        self._thread.start()

    async def aclose(self) -> None:
        """Stop; the end of the source is not the end of the stream."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_LIMIT_S)

    def put_sound(self, frame: av.AudioFrame, received_ns: int) -> None:
        """Take decoded sound. Any thread."""
        with self._changed:
            self._sound.append((frame, received_ns))
            self._changed.notify()

    def _keep_newest(self, item: ItemT) -> ItemT | None:
        """Let an item wait, and return the one that it has replaced."""
        with self._changed:
            replaced, self._waiting = self._waiting, item
            self._changed.notify()
        return replaced

    @abc.abstractmethod
    def _give(self, feed: Feed, item: ItemT) -> None:
        """Give one item, on the source's thread. It tells `_clock` about each picture."""

    def _run(self, feed: Feed) -> None:
        failure: Exception | None = None
        try:
            while self._work(feed):
                pass
        except Exception as error:
            log.exception("no pictures can be taken any more")
            failure = error
        feed.on_end(failure)

    def _work(self, feed: Feed) -> bool:
        """Give what waits, sound first; false at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._sound or self._closed)
            if self._closed:
                return False
            item, self._waiting = self._waiting, None
            sound = list(self._sound)
            self._sound.clear()
        for frame, received_ns in sound:
            packet = self._clock.packet(frame, received_ns)
            if packet is not None:
                feed.on_audio(packet)
        if item is not None:
            self._give(feed, item)
        return True


class SoundClock:
    """Lays sound on the pictures' timeline by when both arrive: their own clocks have nothing in common."""

    def __init__(self) -> None:
        self._offset_s: Fraction | None = None
        self._next_s: Fraction | None = None

    def picture(self, time_s: Fraction, received_ns: int) -> None:
        """Note a picture's time and its arrival."""
        self._offset_s = time_s - received_ns * NANOSECONDS

    def packet(self, frame: av.AudioFrame, received_ns: int) -> AudioPacket | None:
        """Return the sound as an uncompressed packet; None before the first picture.

        :param frame: 16 bits, interleaved
        """
        if self._offset_s is None or not frame.samples:
            return None
        arrived_s = received_ns * NANOSECONDS + self._offset_s
        at_s = self._next_s
        if at_s is None or abs(arrived_s - at_s) > SOUND_DRIFT_S:
            at_s = arrived_s
        self._next_s = at_s + Fraction(frame.samples, frame.sample_rate)
        info = AudioInfo("pcm_s16le", frame.sample_rate, frame.layout.nb_channels)
        time_base = Fraction(1, frame.sample_rate)
        return AudioPacket(
            frame.to_ndarray().tobytes(), round(at_s / time_base), time_base, info, frame.samples, received_ns
        )
