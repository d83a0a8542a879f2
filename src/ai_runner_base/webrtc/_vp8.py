"""VP8 for viewers that know no H.264: made from the coded H.264, once for all of them, while there are any."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from ._types import Coded, FrameSource, Sound

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90_000)
QUEUE_FRAMES = 8
BITRATE_BPS = 3_000_000
KEY_FRAME_EVERY_TICKS = 2 * 90_000
_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "default"}
_Put = Callable[[Coded | None], None]


@dataclass(frozen=True, slots=True)
class Vp8Frame:
    """One frame of VP8; `pts` in 1/90000 s."""

    data: bytes
    pts: int
    key_frame: bool


class Vp8Source:
    """A source of VP8 for any number of viewers, beside a source of H.264. Used on the event loop."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._watchers: set[_Put] = set()
        self._transcoder: Transcoder | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def subscribe(self, put: _Put) -> Callable[[], None]:
        """Call `put` with each frame from now on, None at the end; the first subscriber starts the encoder."""
        self._watchers.add(put)
        if self._transcoder is None:
            self._transcoder = Transcoder(self._give)
            self._unsubscribe = self._source.subscribe(self._feed)
            self._source.request_key_frame()
        return lambda: self._leave(put)

    def subscribe_sound(self, put: Callable[[Sound], None]) -> Callable[[], None]:
        """Pass sound on as it is."""
        return self._source.subscribe_sound(put)

    def request_key_frame(self) -> None:
        """Ask for a key frame of VP8."""
        if self._transcoder is not None:
            self._transcoder.key_wanted = True

    def _give(self, frame: Vp8Frame) -> None:
        self._loop.call_soon_threadsafe(self._spread, frame)

    def _leave(self, put: _Put) -> None:
        self._watchers.discard(put)
        if not self._watchers:
            self._stop()

    def _stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._transcoder is not None:
            self._transcoder.stop()
            self._transcoder = None

    def _feed(self, coded: Coded | None) -> None:
        if coded is None:
            self._spread(None)
            self._stop()
        elif self._transcoder is not None and not self._transcoder.put(coded):
            self._source.request_key_frame()

    def _spread(self, frame: Vp8Frame | None) -> None:
        for put in list(self._watchers):
            put(frame)


class Transcoder:
    """Decodes H.264 and encodes VP8 on a thread of its own.

    :param give: called on the thread with each frame
    """

    def __init__(self, give: Callable[[Vp8Frame], None]) -> None:
        self.key_wanted = False
        self._give = give
        self._waiting: queue.Queue[Coded | None] = queue.Queue()
        self._in_step = False
        self._decoder = CodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        self._encoder: VideoCodecContext | None = None
        self._next_key_pts = 0
        threading.Thread(target=self._run, name="encode vp8", daemon=True).start()

    def put(self, coded: Coded) -> bool:
        """Take an access unit.

        :returns: False: it was left out, as too many wait; it goes on at the next key frame
        """
        full = self._waiting.qsize() >= QUEUE_FRAMES
        self._in_step = not full and (self._in_step or coded.key_frame)
        if self._in_step:
            self._waiting.put(coded)
        return not full

    def stop(self) -> None:
        """Let the thread end."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (coded := self._waiting.get()) is not None:
            try:
                self._transcode(coded)
            except av.FFmpegError as error:
                log.warning("a frame could not be made VP8: %s", error)

    def _transcode(self, coded: Coded) -> None:
        packet = av.Packet(coded.data)
        packet.pts, packet.time_base = coded.pts, TIME_BASE
        for picture in self._decoder.decode(packet):
            self._encode(picture, coded.pts)

    def _encode(self, picture: av.VideoFrame, pts: int) -> None:
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (picture.width, picture.height):
            encoder = self._encoder = _open(picture.width, picture.height)
        wanted, self.key_wanted = self.key_wanted, False
        key = wanted or pts >= self._next_key_pts
        if key:
            self._next_key_pts = pts + KEY_FRAME_EVERY_TICKS
        picture.pts, picture.time_base = pts, TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        for packet in encoder.encode(picture):
            self._give(
                Vp8Frame(bytes(packet), packet.pts if packet.pts is not None else pts, packet.is_keyframe)
            )


def _open(width: int, height: int) -> VideoCodecContext:
    encoder = CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = TIME_BASE, Fraction(30)
    encoder.bit_rate, encoder.thread_count, encoder.gop_size = BITRATE_BPS, 1, 1 << 20
    encoder.options = _OPTIONS
    encoder.open()
    return encoder
