"""Frames and audio into any container or URL that FFmpeg writes: nothing dropped, PTS kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._encode_thread import EncodeThread
from ai_runner_base.media._file_writer import FileJob, FileOptions, FileWriter
from ai_runner_base.media._types import AudioInfo, AudioPacket

MAX_QUEUE = 1000
"""Frames and audio packets that may wait together."""


class FileEncoder(EncodeThread):
    """Encodes on a thread of its own, without loss: `submit` waits while the queue is full.

    H.264 with the input's PTS and time base, variable frame rate included. (Matroska and FLV count milliseconds
    and round to them.) Audio is copied when the container can hold it, else encoded to what it can hold.

    :param target: path or URL
    :param audio: the input's track, as `MediaInfo.audio` tells; None: no audio track
    :param on_end: once, last, from the encode thread: None after `close`, or why nothing more is written
    """

    def __init__(
        self,
        target: str | Path,
        width: int,
        height: int,
        *,
        audio: AudioInfo | None = None,
        on_end: Callable[[RunnerError | None], None] | None = None,
        options: FileOptions | None = None,
    ) -> None:
        super().__init__("encode-file", on_end)
        self._options = options or FileOptions()
        self._writer = FileWriter(str(target), width, height, audio, self._options, self.counters)
        self._queue: deque[FileJob | AudioPacket] = deque()
        self._waiting_frames = 0

    def start(self) -> None:
        """Open the target and begin.

        :raises RunnerError: it cannot be written, or its container cannot hold H.264
        """
        self._writer.open()
        super().start()

    def submit(
        self,
        array: NDArray[np.uint8],
        pts: int,
        time_base: Fraction,
        stamps: Any = None,
        on_done: Callable[[], None] | None = None,
    ) -> bool:
        """Hand over a frame; waits while the queue is full.

        :param array: (H, W, 3) uint8 RGB, C-contiguous, read in place; another size is rescaled
        :param stamps: taken for the sake of `LiveEncoder`'s signature
        :param on_done: called exactly once, as soon as `array` may be reused
        :returns: False after `close` or a failure (`error`)
        """
        with self._changed:
            limit = self._options.queue_frames
            self._changed.wait_for(lambda: self._waiting_frames < limit or self._closing)
            taken = not self._closing
            if taken:
                self._queue.append(FileJob(array, pts, time_base, on_done))
                self._waiting_frames += 1
                self._changed.notify_all()
        if not taken and on_done is not None:
            on_done()
        return taken

    def submit_audio(self, packet: AudioPacket) -> bool:
        """Hand over an audio packet; waits while very many wait already.

        :returns: False after `close` or a failure
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) < MAX_QUEUE or self._closing)
            if not self._closing:
                self._queue.append(packet)
                self._changed.notify_all()
            return not self._closing

    def close(self, timeout_s: float = 60.0) -> bool:
        """Write what waits, finish the file, call `on_end`.

        :returns: whether it is finished in time
        """
        return super().close(timeout_s)

    def _work(self) -> None:
        self._encode()
        self._writer.close()

    def _let_go(self) -> None:
        for item in self._queue:
            if isinstance(item, FileJob) and item.on_done is not None:
                item.on_done()
        self._queue.clear()
        self._writer.release()

    def _encode(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                item = self._queue.popleft()
                self._waiting_frames -= isinstance(item, FileJob)
                self._changed.notify_all()
            if isinstance(item, FileJob):
                self._writer.frame(item)
            else:
                self._writer.audio(item)
