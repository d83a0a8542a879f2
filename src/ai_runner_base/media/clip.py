"""A moving test clip: the first thing that someone sees, and the thing that tests measure with.

Every picture carries its number (`read_counter`), and a lamp that is lit exactly while the sound beeps
(`read_mark`), so that order, completeness and A/V sync can be measured at the far end.
"""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

import av
from av.container import OutputContainer

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._clip_counter import ClipMark, read_counter, read_mark
from ai_runner_base.media._clip_scene import Scene, is_flash
from ai_runner_base.media._clip_sound import SAMPLE_RATE, OpusSound, audio_frame
from ai_runner_base.media._reader import Delivery
from ai_runner_base.media._source_thread import SourceThread
from ai_runner_base.media._types import TIME_BASE, AudioPacket, MediaInfo, Picture, VideoInfo

__all__ = [
    "ClipMark",
    "ClipOptions",
    "ClipSource",
    "Scene",
    "encode_ts_clip",
    "is_flash",
    "read_counter",
    "read_mark",
    "write_clip",
]

_MAX_LAG_S = 1.0


class ClipSource(SourceThread):
    """The clip as a source, without end: a `Decoder` without anything to decode.

    :param realtime: at the clip's own pace; False: as fast as the callbacks take it
    :param frames: end after so many; None: never
    :param start_pts: of the first picture, in 1/90000 s
    """

    def __init__(
        self,
        width: int = 1280,
        height: int = 720,
        fps: Fraction | int = 30,
        *,
        on_video: Callable[[Picture], None],
        on_audio: Callable[[AudioPacket], None] | None = None,
        on_info: Callable[[MediaInfo], None] | None = None,
        on_end: Callable[[RunnerError | None], None] | None = None,
        realtime: bool = True,
        frames: int | None = None,
        start_pts: int = 0,
    ) -> None:
        super().__init__("decode-clip", Delivery(on_video, on_audio, on_info), on_end)
        self._scene_args = (width, height, Fraction(fps))
        self._realtime = realtime
        self._frames = frames
        self._start_pts = start_pts
        self._wake = threading.Event()

    def _interrupt(self) -> None:
        self._wake.set()

    def _read(self) -> None:
        scene = Scene(*self._scene_args)
        sound = OpusSound() if self._delivery.wants_audio else None
        video = VideoInfo("rawvideo", scene.width, scene.height, scene.fps)
        self._delivery.tell(MediaInfo("clip", video, sound.info if sound else None, None, self._frames))
        start_s = time.monotonic()
        for number in range(self._frames) if self._frames is not None else itertools.count():
            if self._realtime:
                start_s = self._pace(start_s, float(number / scene.fps))
            self._delivery.check()
            self._deliver(scene, sound, number)

    def _pace(self, start_s: float, due_s: float) -> float:
        """Wait until a frame is due; after a long stall the clip goes on instead of catching up."""
        wait_s = start_s + due_s - time.monotonic()
        if wait_s > 0:
            self._wake.wait(wait_s)
        return start_s - wait_s if wait_s < -_MAX_LAG_S else start_s

    def _deliver(self, scene: Scene, sound: OpusSound | None, number: int) -> None:
        received_ns = time.monotonic_ns()
        frame = scene.draw(number)
        frame.pts = self._start_pts + scene.pts(number)
        now_ns = time.monotonic_ns()
        picture = Picture(frame, frame.pts, TIME_BASE, True, received_ns, now_ns)
        self._delivery.pictures([picture])
        if sound is not None:
            for packet in sound.until(float((number + 1) / scene.fps), self._start_pts, now_ns):
                self._delivery.audio(packet)


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """How the clip is encoded into a file.

    :param audio: FFmpeg's encoder name, such as ``aac`` or ``libopus``; None: no audio track
    :param bframes: between two reference frames
    :param first_frame: the number of the first picture
    :param start_pts: of the first picture, in 1/90000 s
    :param crf: x264's quality, 0 to 51, lower is better
    """

    width: int = 1280
    height: int = 720
    fps: Fraction | int = 30
    audio: Literal["libopus", "aac", "mp2"] | None = "libopus"
    bframes: int = 0
    key_frame_interval_s: float = 1.0
    first_frame: int = 0
    start_pts: int = 0
    crf: float = 23.0
    preset: str = "veryfast"


def write_clip(
    target: str | Path | BinaryIO,
    seconds: float,
    options: ClipOptions | None = None,
    *,
    container: str | None = None,
) -> int:
    """Encode some seconds of the clip.

    :param container: FFmpeg's format name; None: by the file name's ending
    :returns: the number of frames
    """
    chosen = options or ClipOptions()
    target = str(target) if isinstance(target, Path) else target
    with av.open(target, "w", format=container, options={"avoid_negative_ts": "disabled"}) as output:
        return _ClipWriter(output, chosen).write(seconds)


def encode_ts_clip(seconds: float, options: ClipOptions | None = None) -> bytes:
    """Some seconds of the clip as MPEG-TS, muxed by FFmpeg."""
    buffer = io.BytesIO()
    write_clip(buffer, seconds, options, container="mpegts")
    return buffer.getvalue()


class _ClipWriter:
    def __init__(self, output: OutputContainer, options: ClipOptions) -> None:
        self._output = output
        self._options = options
        self._scene = Scene(options.width, options.height, options.fps)
        self._video = output.add_stream("libx264", rate=Fraction(options.fps))
        self._video.width, self._video.height, self._video.pix_fmt = options.width, options.height, "yuv420p"
        self._video.codec_context.time_base = TIME_BASE
        self._video.codec_context.max_b_frames = options.bframes
        self._video.codec_context.gop_size = max(1, round(options.key_frame_interval_s * float(options.fps)))
        self._video.options = {
            "preset": options.preset,
            "crf": str(options.crf),
            "bf": str(options.bframes),
            "forced-idr": "1",
        }
        self._audio = None
        if options.audio is not None:
            self._audio = output.add_stream(options.audio, rate=SAMPLE_RATE)
            self._audio.codec_context.layout = "mono"
        self._next_sample = 0

    def write(self, seconds: float) -> int:
        count = round(seconds * self._options.fps)
        for index in range(count):
            frame = self._scene.draw(self._options.first_frame + index)
            frame.pts = self._options.start_pts + self._scene.pts(index)
            self._output.mux(self._video.encode(frame))
            self._write_audio((index + 1) / float(self._options.fps))
        self._output.mux(self._video.encode(None))
        if self._audio is not None:
            self._output.mux(self._audio.encode(None))
        return count

    def _write_audio(self, until_s: float) -> None:
        """Sound of the same numbers as the pictures: a clip that begins in the middle beeps in the middle."""
        if self._audio is None:
            return
        offset = round(self._options.first_frame / self._options.fps * SAMPLE_RATE)
        start = round(self._options.start_pts * TIME_BASE * SAMPLE_RATE)
        size = self._audio.codec_context.frame_size or 960
        while self._next_sample < until_s * SAMPLE_RATE:
            frame = audio_frame(offset + self._next_sample, size)
            frame.pts = start + self._next_sample
            self._output.mux(self._audio.encode(frame))
            self._next_sample += size
