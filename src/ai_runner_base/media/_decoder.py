"""The decode thread: one source in, pictures and audio packets out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._libav_reader import LibavReader, is_ts_url, read_ts_url
from ai_runner_base.media._pipe import BytePipe
from ai_runner_base.media._reader import DecoderOptions, Delivery
from ai_runner_base.media._source_thread import SourceThread
from ai_runner_base.media._ts_reader import TsReader
from ai_runner_base.media._types import AudioPacket, MediaInfo, Picture


class Decoder(SourceThread):
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
        super().__init__("decode", Delivery(on_video, on_audio, on_info), on_end)
        self._source = source if isinstance(source, BytePipe) else str(source)
        self._options = options or DecoderOptions()

    @property
    def decoded_by(self) -> str:
        """What decodes the pictures: ``software`` or FFmpeg's device type; empty before the first one."""
        return self._delivery.decoded_by

    def _interrupt(self) -> None:
        if isinstance(self._source, BytePipe):
            self._source.abort()

    def _read(self) -> None:
        if isinstance(self._source, BytePipe):
            TsReader(self._delivery, self._options).run(self._source)
        elif is_ts_url(self._source):
            read_ts_url(self._source, TsReader(self._delivery, self._options), self._options)
        else:
            LibavReader(self._source, self._delivery, self._options).run()
