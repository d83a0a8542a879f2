"""Encoded media in and out: PyAV and MPEG-TS on threads of their own; no asyncio.

Callbacks (`on_video`, `on_audio`, `on_info`, `on_end`, `on_bytes`) are called on the object's own thread; a
callback that takes long holds its stream up, one that raises ends it.
"""

from ai_runner_base.media import clip
from ai_runner_base.media._audio_path import AudioMode
from ai_runner_base.media._decoder import Decoder
from ai_runner_base.media._devices import LiveDecoder, list_video_decoders, pick_live_decoder
from ai_runner_base.media._edge_mark import EDGE_WRAP, read_edge_mark
from ai_runner_base.media._file import FileEncoder
from ai_runner_base.media._file_writer import FileOptions
from ai_runner_base.media._fit import Fitter
from ai_runner_base.media._jpeg import MAX_JPEG_PIXELS, JpegDecoder, JpegEncoder, jpeg_size
from ai_runner_base.media._live import LiveEncoder
from ai_runner_base.media._live_line import LiveEncoderOptions
from ai_runner_base.media._pipe import BytePipe, Chunk
from ai_runner_base.media._probe import list_video_encoders, pick_live_encoder
from ai_runner_base.media._reader import DecoderOptions
from ai_runner_base.media._trial import CodecProbe
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
from ai_runner_base.media._video import DecodePolicy
from ai_runner_base.media._video_encoder import CodedFrame, VideoEncoderOptions
from ai_runner_base.media.clip import ClipOptions, ClipSource, encode_ts_clip, read_counter, write_clip

__all__ = [
    "EDGE_WRAP",
    "MAX_JPEG_PIXELS",
    "TICKS_PER_S",
    "TIME_BASE",
    "AudioInfo",
    "AudioMode",
    "AudioPacket",
    "BytePipe",
    "Chunk",
    "ClipOptions",
    "ClipSource",
    "CodecProbe",
    "CodedFrame",
    "Cut",
    "DecodePolicy",
    "Decoder",
    "DecoderCounters",
    "DecoderOptions",
    "EncoderCounters",
    "FileEncoder",
    "FileOptions",
    "Fitter",
    "JpegDecoder",
    "JpegEncoder",
    "LiveDecoder",
    "LiveEncoder",
    "LiveEncoderOptions",
    "MediaInfo",
    "Picture",
    "Source",
    "VideoEncoderOptions",
    "VideoInfo",
    "clip",
    "encode_ts_clip",
    "jpeg_size",
    "list_video_decoders",
    "list_video_encoders",
    "pick_live_decoder",
    "pick_live_encoder",
    "read_counter",
    "read_edge_mark",
    "write_clip",
]
