"""Encoded media in and out: PyAV and MPEG-TS on threads of their own; no asyncio.

Callbacks (`on_video`, `on_audio`, `on_info`, `on_end`, `on_bytes`) are called on the object's own thread; a
callback that takes long holds its stream up, one that raises ends it.
"""

from ai_runner_base.media._jpeg import MAX_JPEG_PIXELS, JpegDecoder, JpegEncoder, jpeg_size
from ai_runner_base.media._pipe import BytePipe, Chunk
from ai_runner_base.media._types import (
    TICKS_PER_S,
    TIME_BASE,
    AudioInfo,
    AudioPacket,
    Cut,
    DecoderCounters,
    EncoderCounters,
    MediaInfo,
    Picture,
    Source,
    VideoInfo,
)

__all__ = [
    "MAX_JPEG_PIXELS",
    "TICKS_PER_S",
    "TIME_BASE",
    "AudioInfo",
    "AudioPacket",
    "BytePipe",
    "Chunk",
    "Cut",
    "DecoderCounters",
    "EncoderCounters",
    "JpegDecoder",
    "JpegEncoder",
    "MediaInfo",
    "Picture",
    "Source",
    "VideoInfo",
    "jpeg_size",
]
