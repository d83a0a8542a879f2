"""Live MPEG-TS to pictures and audio packets, and words for what is wrong with bad input."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import av

from ai_runner_base.errors import CallerError
from ai_runner_base.media._bitstream import can_start_decoding, opus_samples, read_adts, split_opus
from ai_runner_base.media._catch_up import CatchUp
from ai_runner_base.media._pipe import BytePipe, Chunk
from ai_runner_base.media._reader import DecoderOptions, Delivery
from ai_runner_base.media._timeline import Unroller
from ai_runner_base.media._ts import ElementaryStream
from ai_runner_base.media._ts_demux import Program, TsDemuxer, Unit
from ai_runner_base.media._types import (
    TICKS_PER_S,
    TIME_BASE,
    AudioInfo,
    AudioPacket,
    MediaInfo,
    Picture,
    VideoInfo,
)
from ai_runner_base.media._video import SOFTWARE, VideoDecoder, open_live_codec

logger = logging.getLogger(__name__)

FOREIGN_LIMIT_BYTES = 64 << 10
"""Bytes without a single TS packet among them, after which the input is something else."""
PROGRAM_LIMIT_BYTES = 4 << 20
"""MPEG-TS without a program table, after which none is expected any more."""
DAMAGE_LIMIT_TICKS = 3 * TICKS_PER_S
"""Longest wait for a key frame after lost packets; then pictures that refer to lost ones are better than none."""
SILENCE_S = 0.005
"""Without a byte for so long, a frame that may be whole is; senders write a frame in one go."""
OPUS_TICKS_PER_SAMPLE = 90_000 / 48_000


class TsReader:
    """Takes chunks of MPEG-TS and delivers what they complete.

    :param delivery: where everything goes
    """

    def __init__(self, delivery: Delivery, options: DecoderOptions) -> None:
        self._delivery = delivery
        self._counters = delivery.counters
        self._options = options
        self._catch_up = None if options.late_s is None else CatchUp(options.late_s)
        self._demuxer = TsDemuxer()
        self._unroller = Unroller()
        self._video: VideoDecoder | None = None
        self._video_stream: ElementaryStream | None = None
        self._audio: AudioInfo | None = None
        self._program: Program | None = None
        self._first_ns = 0
        self._wait_for_key_frame = True
        self._damaged_since: int | None = None
        self._gap = False

    def run(self, pipe: BytePipe) -> None:
        """Read the pipe to its end.

        :raises CallerError: the input is not what a decoder can use
        """
        while (chunk := self._next_chunk(pipe)) is not None:
            self._counters.live_edge_skips = pipe.live_edge_skips
            if chunk.gap:
                self.skip()
            if self._catch_up is not None:
                self._catch_up.reads(chunk.received_ns, more_waits=pipe.waiting_bytes > 0)
                if self._catch_up.is_hopeless:
                    pipe.skip()
                    continue
            self.feed(chunk.data, chunk.received_ns)
        self._delivery.check()
        self.end()

    def _next_chunk(self, pipe: BytePipe) -> Chunk | None:
        if self._demuxer.may_be_whole:
            try:
                return pipe.read_chunk(SILENCE_S)
            except TimeoutError:
                self._items(self._demuxer.settle())
        return pipe.read_chunk()

    def feed(self, data: bytes, received_ns: int) -> None:
        """Decode and deliver everything that these bytes complete."""
        self._delivery.check()
        self._first_ns = self._first_ns or received_ns
        self._counters.received_bytes += len(data)
        self._items(self._demuxer.feed(data, received_ns))
        self._counters.lost_packets = self._demuxer.lost_packets
        self._counters.resyncs = self._demuxer.resyncs
        if self._video is None:
            self._check_start(received_ns)

    def skip(self) -> None:
        """Bytes were thrown away: look for a packet start, then for a key frame."""
        self._demuxer.reset()
        self._wait_for_key_frame = self._gap = True
        self._damaged_since = None
        if self._video is not None:
            self._video.restart()

    def end(self) -> None:
        """Deliver what is left.

        :raises CallerError: there was not one picture
        """
        self._items(self._demuxer.flush())
        if self._video is not None:
            self._delivery.pictures(self._video.flush())
        if self._counters.pictures == 0:
            raise self._nothing_decoded()

    def _items(self, items: list[Program | Unit]) -> None:
        for item in items:
            if isinstance(item, Program):
                self._set_program(item)
            elif item.stream == self._video_stream:
                self._video_unit(item)
            elif self._delivery.wants_audio:
                self._audio_unit(item)

    def _set_program(self, program: Program) -> None:
        self._program = program
        known = self._video_stream.codec if self._video_stream else ""
        if program.video is None:
            self._video = None
        elif self._video is None or program.video.codec != known:
            self._video = self._open_decoder(program.video.codec)
            self._wait_for_key_frame = True
        self._video_stream = program.video
        audio = program.audio
        if audio is None:
            self._audio = None
        elif self._audio is None or self._audio.codec != audio.codec:
            rate = 48_000 if audio.codec == "opus" else 0
            self._audio = AudioInfo(audio.codec, rate, audio.channels)
        self._tell()

    def _open_decoder(self, codec: str) -> VideoDecoder:
        device = self._options.device
        return VideoDecoder(
            lambda: open_live_codec(codec),
            TIME_BASE,
            self._counters,
            self._options.policy,
            None if device == SOFTWARE else lambda: open_live_codec(codec, device),
        )

    def _tell(self) -> None:
        stream, known = self._video_stream, self._delivery.info
        video = known.video if known else None
        if stream is not None and (video is None or video.codec != stream.codec):
            video = VideoInfo(stream.codec)
        self._delivery.tell(MediaInfo("mpegts", video if stream else None, self._audio))

    def _video_unit(self, unit: Unit) -> None:
        if unit.pts is None or unit.dts is None:
            self._counters.skipped_without_pts += 1
            return
        dts = self._unroller.unroll(unit.dts)
        if unit.gap and not self._wait_for_key_frame:
            self._wait_for_key_frame = self._gap = True
            self._damaged_since = dts
        if self._wait_for_key_frame and not self._may_decode(unit, dts):
            self._counters.skipped_before_key_frame += 1
            return
        self._wait_for_key_frame, self._damaged_since = False, None
        packet = av.Packet(unit.data)
        packet.dts = dts
        packet.pts = dts + _signed_distance(unit.pts, unit.dts)
        packet.time_base = TIME_BASE
        gap, self._gap = self._gap, False
        if self._video is not None:
            self._delivery.pictures(self._in_time(self._video.decode(packet, unit.received_ns, gap=gap)))
            self._delivery.decoded_by = self._options.device if self._video.on_device else SOFTWARE

    def _in_time(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        for picture in pictures:
            if self._catch_up is not None and self._catch_up.skips():
                self._counters.skipped_late += 1
                self._gap |= picture.discontinuity  # told with the next one
            else:
                yield picture

    def _may_decode(self, unit: Unit, dts: int) -> bool:
        """Whether a decoder that has lost the thread can, or after long enough must, go on with this."""
        late = self._damaged_since is not None and abs(dts - self._damaged_since) > DAMAGE_LIMIT_TICKS
        return late or can_start_decoding(unit.stream.codec, unit.data)

    def _audio_unit(self, unit: Unit) -> None:
        if unit.pts is None or self._audio is None:
            self._counters.skipped_without_pts += 1
            return
        pts = self._unroller.unroll(unit.pts)
        if unit.stream.codec != "opus":
            self._learn_aac(unit)
            self._delivery.audio(
                AudioPacket(unit.data, pts, TIME_BASE, self._audio, received_ns=unit.received_ns)
            )
            return
        samples = 0
        for data in split_opus(unit.data):
            at = pts + round(samples * OPUS_TICKS_PER_SAMPLE)
            count = opus_samples(data)
            samples += count
            duration = round(count * OPUS_TICKS_PER_SAMPLE)
            self._delivery.audio(
                AudioPacket(data, at, TIME_BASE, self._audio, duration, received_ns=unit.received_ns)
            )

    def _learn_aac(self, unit: Unit) -> None:
        """ADTS tells rate and channels, which the program table does not."""
        header = read_adts(unit.data) if unit.stream.codec == "aac" else None
        if header is None or self._audio is None:
            return
        if (self._audio.sample_rate, self._audio.channels) != (header.sample_rate, header.channels):
            self._audio = replace(self._audio, sample_rate=header.sample_rate, channels=header.channels)
            self._tell()

    def _check_start(self, now_ns: int) -> None:
        size = self._counters.received_bytes
        if self._demuxer.packets == 0:
            if size >= FOREIGN_LIMIT_BYTES:
                raise self._not_mpegts()
        elif self._program is None:
            if size >= PROGRAM_LIMIT_BYTES:
                raise self._nothing_decoded()
        elif now_ns - self._first_ns > self._options.probe_timeout_s * 1e9:
            raise self._nothing_decoded()

    def _nothing_decoded(self) -> CallerError:
        size = self._counters.received_bytes
        if size == 0:
            return CallerError("the input ended before its first byte", hint="check the sender")
        if self._demuxer.packets == 0:
            return self._not_mpegts()
        if self._program is None:
            return CallerError(
                f"no program table in {size} bytes of MPEG-TS",
                hint="start the input at a segment that begins with PAT and PMT",
            )
        if self._program.video is None:
            return CallerError(
                f"no video track: the program has {_names(self._program)}",
                hint="send H.264 video in MPEG-TS",
            )
        return CallerError(
            f"not one picture in {size} bytes of MPEG-TS: truncated, or without a key frame "
            f"({self._counters.skipped_before_key_frame} frames before the first key frame, "
            f"{self._counters.invalid_packets} bad packets)",
            hint="send a key frame at the start and every few seconds",
        )

    def _not_mpegts(self) -> CallerError:
        start = self._demuxer.first_bytes
        return CallerError(
            f"the input is not MPEG-TS: its first bytes are {start.hex(' ')} ({start!r})",
            hint="send H.264 video in MPEG-TS",
        )


def _signed_distance(pts: int, dts: int) -> int:
    """How far a PTS lies from its DTS when either may just have wrapped."""
    half = 1 << 32
    return (pts - dts + half) % (2 * half) - half


def _names(program: Program) -> str:
    names = [stream.codec or f"stream type 0x{stream.stream_type:02x}" for stream in program.streams]
    return "only " + ", ".join(names) if names else "no tracks"
