"""What happens to audio on its way into a live output: passed on as it is, or made into Opus."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

import av

from ai_runner_base.media._audio_transcode import OpusTranscoder
from ai_runner_base.media._bitstream import adts_header, read_adts
from ai_runner_base.media._ts_mux import AUDIO_STREAM_TYPE_OF, AudioTrack
from ai_runner_base.media._types import TICKS_PER_S, AudioInfo, AudioPacket

logger = logging.getLogger(__name__)

AudioMode = Literal["opus", "copy", "none"]
"""``opus``: Opus is passed on, anything else becomes Opus; ``copy``: what MPEG-TS can carry is passed on,
the rest becomes Opus; ``none``: no audio track."""


class AudioPath:
    """Turns one input track into what the muxer takes.

    :param mode: see `AudioMode`
    """

    def __init__(self, mode: AudioMode) -> None:
        self._mode = mode
        self._codec = ""
        self._track: AudioTrack | None = None
        self._transcoder: OpusTranscoder | None = None
        self._failed = False

    def track(self, info: AudioInfo) -> AudioTrack | None:
        """How this input will look in the output; None when it cannot be in it.

        What was said once about a codec stays, also when the channels become known later.
        """
        if self._mode == "none" or self._failed:
            return None
        if self._track is None or self._codec != info.codec:
            self._codec, self._transcoder = info.codec, None
            if self._passes(info):
                self._track = AudioTrack(info.codec, info.channels or 2)
            else:
                self._track = AudioTrack("opus", 1 if info.channels == 1 else 2)
        return self._track

    def convert(self, packet: AudioPacket) -> Iterator[tuple[int, bytes]]:
        """What the muxer gets for this packet.

        :returns: pairs of PTS in 1/90000 s and data
        """
        track = self.track(packet.info)
        if track is None:
            return
        if self._passes(packet.info):
            yield round(packet.pts * packet.time_base * TICKS_PER_S), _framed(packet)
            return
        if self._transcoder is None:
            self._transcoder = self._open(packet.info, track.channels)
        if self._transcoder is not None:
            yield from self._transcoder.convert(packet)

    def flush(self) -> Iterator[tuple[int, bytes]]:
        """What is still inside."""
        if self._transcoder is not None:
            yield from self._transcoder.flush()

    def _open(self, info: AudioInfo, channels: int) -> OpusTranscoder | None:
        """A codec that this FFmpeg lacks costs the audio, never the stream."""
        try:
            return OpusTranscoder(info, channels)
        except (ValueError, av.FFmpegError) as error:
            logger.warning("No audio in the output: %s cannot be made into Opus: %s", info.codec, error)
            self._failed = True
            return None

    def _passes(self, info: AudioInfo) -> bool:
        if info.codec == "opus":
            return True
        if self._mode != "copy" or info.codec not in AUDIO_STREAM_TYPE_OF:
            return False
        return info.codec != "aac" or info.extradata is None or _fits_adts(info.extradata)


def _fits_adts(extradata: bytes) -> bool:
    try:
        adts_header(extradata, 0)
    except ValueError:
        return False
    return True


def _framed(packet: AudioPacket) -> bytes:
    """AAC out of MP4 or RTMP gets the header that MPEG-TS needs."""
    if packet.info.codec != "aac" or packet.info.extradata is None or read_adts(packet.data):
        return packet.data
    return adts_header(packet.info.extradata, len(packet.data)) + packet.data
