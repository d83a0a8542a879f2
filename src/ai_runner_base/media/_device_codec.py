"""A decoder on a device, each call with a deadline: a driver may never come back from one."""

from __future__ import annotations

import errno
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import av
from av.video.codeccontext import VideoCodecContext

OPEN_LIMIT_S = 10.0
"""To open it; a driver that has been asleep takes seconds to begin."""
STALL_LIMIT_S = 3.0
"""For one frame, which takes milliseconds."""


class VideoCodec(Protocol):
    """What is used of a decoder; FFmpeg's own is one."""

    @property
    def name(self) -> str: ...
    @property
    def is_hwaccel(self) -> bool: ...
    def decode(self, packet: av.Packet[av.stream.Stream] | None = None, /) -> list[av.VideoFrame]: ...
    def flush_buffers(self) -> None: ...


class DeviceCodec:
    """Runs a decoder on a thread of its own, which is left behind when a call does not return in time.

    That helps where FFmpeg waits without holding the interpreter's lock, as PyAV has it wait while it decodes.

    :param open_codec: makes the decoder
    :raises av.FFmpegError: it cannot be opened; `av.error.TimeoutError`, here and later: its driver hangs
    """

    def __init__(self, open_codec: Callable[[], VideoCodecContext]) -> None:
        self._requests: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        threading.Thread(
            target=_serve, args=(self._requests, self._answers), name="decode-device", daemon=True
        ).start()
        self.leave = weakref.finalize(self, self._requests.put, None)
        """Ends the thread as soon as its driver lets it; also done once nobody has this decoder any more."""
        try:
            self._codec = self._call(open_codec, OPEN_LIMIT_S)
        except BaseException:
            self.leave()
            raise

    @property
    def name(self) -> str:
        """FFmpeg's name of the decoder."""
        return str(self._codec.name)

    @property
    def is_hwaccel(self) -> bool:
        """Whether it has a device."""
        return bool(self._codec.is_hwaccel)

    def decode(self, packet: av.Packet[av.stream.Stream] | None = None, /) -> list[av.VideoFrame]:
        """As FFmpeg's."""
        frames: list[av.VideoFrame] = self._call(lambda: self._codec.decode(packet), STALL_LIMIT_S)
        return frames

    def flush_buffers(self) -> None:
        """As FFmpeg's."""
        self._call(self._codec.flush_buffers, STALL_LIMIT_S)

    def _call(self, what: Callable[[], Any], limit_s: float) -> Any:
        self._requests.put(what)
        try:
            result, error = self._answers.get(timeout=limit_s)
        except queue.Empty:
            text = f"no answer within {limit_s:g} s, its driver hangs"
            raise av.error.TimeoutError(errno.ETIMEDOUT, text) from None
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # whose traceback holds this frame: together they would keep the decoder and its thread


def _serve(
    requests: queue.SimpleQueue[Callable[[], Any] | None],
    answers: queue.SimpleQueue[tuple[Any, Exception | None]],
) -> None:
    """Answer until told to end; knows nothing of the decoder, so that nobody keeps it alive."""
    while (what := requests.get()) is not None:
        try:
            answers.put((what(), None))
        except Exception as error:
            answers.put((None, error))
        del what
