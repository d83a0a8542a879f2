"""What decoding and encoding cost: the limits that the end-to-end figures are held against.

For every size, medians of repeated runs:

- CPU per frame of decode + encode alone, as fast as it goes, kept in YUV and through RGB as a pipeline needs;
  once with x264's superfast, the field's usual setting, and once with this package's own, which is cheaper:
  only lines with the same preset say what our code adds;
- CPU per frame of this package's Decoder + Fitter + LiveEncoder doing the same;
- at 30 frames per second in real time, from the last MPEG-TS byte of a frame in to the first byte of it out:
  plain libav (its own demuxer, decoder, encoder, muxer) beside Decoder + Fitter + LiveEncoder.

    python bench/codec.py [--sizes 512x512,1280x720] [--seconds 4] [--runs 3] [--json out.json]
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from ai_runner_base.media import (
    TIME_BASE,
    BytePipe,
    Decoder,
    Fitter,
    LiveEncoder,
    LiveEncoderOptions,
    Picture,
    VideoEncoderOptions,
    clip,
)
from ai_runner_base.media._video_encoder import LIVE_X264

FPS = 30
SUPERFAST = {"preset": "superfast", "tune": "zerolatency", "sc_threshold": "0"}
LIVE = SUPERFAST | {"preset": "ultrafast", "x264-params": LIVE_X264}


@dataclass
class Result:
    """One line of the table; times in ms, CPU in ms per frame."""

    size: str
    what: str
    cpu_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    frames: int = 0


class Parts(io.RawIOBase):
    """A file that FFmpeg writes into and that gives what was written since the last time."""

    def __init__(self, on_write: Callable[[int], None] | None = None) -> None:
        self._parts: list[bytes] = []
        self._on_write = on_write

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        if self._on_write is not None:
            self._on_write(len(data))
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def make_input(width: int, height: int, frames: int) -> list[bytes]:
    """The clip as MPEG-TS by FFmpeg's muxer, one piece of bytes per frame."""
    scene, file, pieces = clip.Scene(width, height, FPS), Parts(), []
    with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}) as output:
        stream = add_encoder(output, width, height)
        for number in range(frames):
            frame = scene.draw(number)
            frame.pict_type = 1 if number % 60 == 0 else 0
            for packet in stream.encode(frame):
                output.mux(packet)
                pieces.append(file.take())
    return pieces


def add_encoder(output: Any, width: int, height: int, options: dict[str, str] = SUPERFAST) -> Any:
    stream = output.add_stream("libx264", rate=FPS)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    stream.codec_context.thread_count = 1
    stream.options = options | {"g": "100000"}
    return stream


def run_limit(
    pieces: list[bytes], size: tuple[int, int], options: dict[str, str], *, rgb: bool
) -> Iterator[float]:
    """CPU seconds of decode + encode of every frame, one thread, no demuxing or muxing inside the clock."""
    with av.open(io.BytesIO(b"".join(pieces))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    with av.open(Parts(), "w", format="mpegts") as output:
        encoder = add_encoder(output, *size, options).codec_context
        to_rgb, to_yuv = av.video.reformatter.VideoReformatter(), av.video.reformatter.VideoReformatter()
        for packet in packets:
            begin = time.process_time()
            for frame in decoder.decode(packet):
                if rgb:
                    frame = to_yuv.reformat(to_rgb.reformat(frame, format="rgb24"), format="yuv420p")
                frame.pict_type = 0
                encoder.encode(frame)
            yield time.process_time() - begin


class Ours:
    """Decoder, Fitter and LiveEncoder in a row, as a stream joins them when the worker is away."""

    def __init__(self, size: tuple[int, int], threads: int, preset: str) -> None:
        self.pipe = BytePipe(1 << 30)
        self.out_ns: dict[int, int] = {}
        self.done = threading.Event()
        width, height = size
        self._fitter = Fitter(width, height)
        self._free = [np.empty((height, width, 3), np.uint8) for _ in range(4)]
        self._freed = threading.Semaphore(len(self._free))
        video = VideoEncoderOptions(threads=threads, preset=preset)
        options = LiveEncoderOptions(video=video, queue_frames=8)
        self.encoder = LiveEncoder(width, height, on_bytes=self._on_bytes, options=options)
        self.decoder = Decoder(self.pipe, on_video=self._on_video, on_end=lambda _: self.done.set())

    def start(self) -> None:
        self.encoder.start()
        self.decoder.start()

    def finish(self) -> None:
        self.pipe.close()
        self.done.wait(60)
        self.encoder.close(60)
        self.decoder.stop(5)

    def _on_video(self, picture: Picture) -> None:
        self._freed.acquire()
        array = self._free.pop()
        self._fitter.into(picture, array)
        self.encoder.submit(array, picture.pts, picture.time_base, picture, lambda: self._release(array))

    def _release(self, array: Any) -> None:
        self._free.append(array)
        self._freed.release()

    def _on_bytes(self, data: bytes, cut: Any, picture: Picture | None) -> None:
        if picture is not None:
            self.out_ns[picture.pts] = time.monotonic_ns()


class PlainLibav:
    """The same with libav's demuxer and muxer, as most programs do it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._read, self._lock = bytearray(), threading.Condition()
        self._closed = False
        self.out_ns: list[int] = []
        self._thread = threading.Thread(target=self._run, name="plain-libav")

    def readable(self) -> bool:
        return True

    def read(self, size: int) -> bytes:
        with self._lock:
            self._lock.wait_for(lambda: self._read or self._closed)
            data = bytes(self._read[:size])
            del self._read[:size]
            return data

    def write_input(self, data: bytes) -> None:
        with self._lock:
            self._read += data
            self._lock.notify()

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        with self._lock:
            self._closed = True
            self._lock.notify()
        self._thread.join(60)

    def _run(self) -> None:
        with (
            av.open(self, "r", format="mpegts") as source,
            av.open(Parts(), "w", format="mpegts", options={"flush_packets": "1"}) as output,
        ):
            stream = add_encoder(output, *self._size)
            source.streams.video[0].thread_type = "SLICE"
            for frame in source.decode(video=0):
                frame.pict_type = 0
                for packet in stream.encode(frame):
                    output.mux(packet)
                    self.out_ns.append(time.monotonic_ns())


def pace(pieces: list[bytes], write: Callable[[bytes], Any]) -> list[int]:
    """Write one piece every 1/30 s; when the last byte of each went in."""
    begin, sent = time.monotonic(), []
    for index, piece in enumerate(pieces):
        time.sleep(max(0.0, begin + index / FPS - time.monotonic()))
        sent.append(time.monotonic_ns())
        write(piece)
    time.sleep(0.3)
    return sent


def ours_realtime(
    pieces: list[bytes], size: tuple[int, int], threads: int, preset: str
) -> tuple[float, list[float]]:
    """CPU ms per frame, and ms from bytes to bytes."""
    line = Ours(size, threads, preset)
    line.start()
    cpu = time.process_time()
    sent = pace(pieces, line.pipe.write)
    cpu = time.process_time() - cpu
    line.finish()
    by_order = [line.out_ns[pts] for pts in sorted(line.out_ns)]
    return cpu / len(pieces) * 1e3, latencies(sent, by_order)


def libav_realtime(pieces: list[bytes], size: tuple[int, int]) -> tuple[float, list[float]]:
    line = PlainLibav(size)
    line.start()
    cpu = time.process_time()
    sent = pace(pieces, line.write_input)
    cpu = time.process_time() - cpu
    line.finish()
    return cpu / len(pieces) * 1e3, latencies(sent, line.out_ns)


def latencies(sent_ns: list[int], out_ns: list[int]) -> list[float]:
    """In ms, without the first second (opening, probing)."""
    if len(out_ns) != len(sent_ns):
        raise SystemExit(f"{len(sent_ns)} frames in, {len(out_ns)} out")
    return [(out - sent) / 1e6 for sent, out in zip(sent_ns, out_ns, strict=True)][FPS:]


def ours_offline(pieces: list[bytes], size: tuple[int, int], threads: int, preset: str) -> float:
    line = Ours(size, threads, preset)
    begin = time.process_time()
    line.start()
    for piece in pieces:
        line.pipe.write(piece)
    line.finish()
    return (time.process_time() - begin) / len(pieces) * 1e3


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def realtime_row(size: str, what: str, runs: list[tuple[float, list[float]]]) -> Result:
    shares = {
        name: statistics.median(percentile(values, share) for _, values in runs)
        for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))
    }
    cpu = statistics.median(cpu for cpu, _ in runs)
    return Result(size, what, cpu, frames=len(runs[0][1]), **shares)


def measure(width: int, height: int, args: argparse.Namespace) -> Iterator[Result]:
    size, name = (width, height), f"{width}x{height}"
    pieces = make_input(width, height, round(args.seconds * FPS))
    for preset, options in (("superfast", SUPERFAST), ("live", LIVE)):
        for rgb in (False, True):
            runs = [
                sum(run_limit(pieces, size, options, rgb=rgb)) / len(pieces) * 1e3 for _ in range(args.runs)
            ]
            what = f"limit {preset}: decode + encode" + (" via rgb24" if rgb else "")
            yield Result(name, what, statistics.median(runs), frames=len(pieces))
    runs = [ours_offline(pieces, size, args.threads, args.preset) for _ in range(args.runs)]
    yield Result(name, f"ours {args.preset}", statistics.median(runs), frames=len(pieces))
    if not args.no_libav:
        libav = [libav_realtime(pieces, size) for _ in range(args.runs)]
        yield realtime_row(name, "plain libav superfast, 30 fps", libav)
    ours = [ours_realtime(pieces, size, args.threads, args.preset) for _ in range(args.runs)]
    yield realtime_row(name, f"ours {args.preset}, 30 fps", ours)


def show(value: float | None) -> str:
    return f"{value:8.2f}" if value is not None else "       –"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="512x512,1280x720,1920x1080")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=VideoEncoderOptions().threads)
    parser.add_argument("--preset", default=VideoEncoderOptions().preset)
    parser.add_argument("--no-libav", action="store_true", help="leave out the slow comparison")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    versions = f"PyAV {av.__version__}, libavcodec {av.library_versions['libavcodec']}, {platform.machine()}"
    print(f"{versions}; medians of {args.runs} runs of {args.seconds:g} s; CPU in ms per frame, times in ms")
    print(f"{'size':<10} {'what':<40} {'CPU':>8} {'p50':>8} {'p95':>8} {'p99':>8}")
    results = []
    for size in args.sizes.split(","):
        width, height = (int(part) for part in size.split("x"))
        for row in measure(width, height, args):
            results.append(row)
            times = " ".join(show(value) for value in (row.cpu_ms, row.p50_ms, row.p95_ms, row.p99_ms))
            print(f"{row.size:<10} {row.what:<40} {times}", flush=True)
    if args.json is not None:
        args.json.write_text(
            json.dumps({"versions": versions, "results": [asdict(r) for r in results]}, indent=1)
        )


if __name__ == "__main__":
    main()
