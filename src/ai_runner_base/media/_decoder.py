"""The decode thread: one source in, pictures and audio packets out."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._libav_reader import LibavReader, is_ts_url, read_ts_url
from ai_runner_base.media._pipe import BytePipe
from ai_runner_base.media._reader import DecoderOptions, Delivery, Stopped
from ai_runner_base.media._ts_reader import TsReader
from ai_runner_base.media._types import AudioPacket, DecoderCounters, MediaInfo, Picture

logger = logging.getLogger(__name__)
_numbers = itertools.count(1)


class Decoder:
    """Reads one source on a thread of its own and calls back with what it holds.

    All callbacks come from that thread, one at a time. A picture is given as soon as the last packet of its
    frame is in. `on_info` comes before the first picture, and again when size or tracks change. `on_end`
    comes once, last, with None at the proper end of the input; it does not come after `stop`.

    :param source: a `BytePipe` of live MPEG-TS, or a path or URL that FFmpeg opens
    :param on_audio: None: the audio track is not read
    """

    def __init__(
        self,
        source: BytePipe | str | Path,
        *,
        on_video: Callable[[Picture], None],
        on_audio: Callable[[AudioPacket], None] | None = None,
        on_info: Callable[[MediaInfo], None] | None = None,
        on_end: Callable[[RunnerError | None], None] | None = None,
        options: DecoderOptions | None = None,
    ) -> None:
        self._source = source if isinstance(source, BytePipe) else str(source)
        self._options = options or DecoderOptions()
        self._delivery = Delivery(on_video, on_audio, on_info)
        self._on_end = on_end
        self._thread = threading.Thread(target=self._run, name=f"decode-{next(_numbers)}", daemon=True)

    @property
    def info(self) -> MediaInfo | None:
        """The tracks, as soon as they are known."""
        return self._delivery.info

    @property
    def counters(self) -> DecoderCounters:
        """Running totals."""
        return self._delivery.counters

    @property
    def decoded_by(self) -> str:
        """What decodes the pictures: ``software`` or FFmpeg's device type; empty before the first one."""
        return self._delivery.decoded_by

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End at once; what was not delivered yet is lost. No callback begins after it has returned.

        :returns: True when the thread is gone. False while it is in a callback that does not return, or in
            FFmpeg waiting for a dead peer, which it leaves within `DecoderOptions.read_timeout_s`.
        """
        self._delivery.stopped = True
        if isinstance(self._source, BytePipe):
            self._source.abort()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error: RunnerError | None = None
        try:
            self._read()
        except Stopped:
            return
        except RunnerError as problem:
            error = problem
        except Exception as problem:
            logger.exception("The decode thread failed")
            error = RunnerError(f"the decode thread failed: {problem!r}")
        if self._on_end is not None and not self._delivery.stopped:
            self._on_end(error)

    def _read(self) -> None:
        if isinstance(self._source, BytePipe):
            TsReader(self._delivery, self._options).run(self._source)
        elif is_ts_url(self._source):
            read_ts_url(self._source, TsReader(self._delivery, self._options), self._options)
        else:
            LibavReader(self._source, self._delivery, self._options).run()
