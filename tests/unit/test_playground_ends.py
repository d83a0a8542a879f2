"""A browser's two ends: newest wins, nothing grows, every picture's memory is given back once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from ai_runner_base.media import EDGE_WRAP, Fitter, JpegEncoder, MediaInfo, Picture, jpeg_size, read_edge_mark
from ai_runner_base.media._clip_counter import BIT_COUNT, ClipMark, mark_bits
from ai_runner_base.stream._ends import Feed
from ai_runner_base.stream._newest import SoundClock
from ai_runner_base.stream._window import MOST
from ai_runner_base.stream.browser_ends import MICROSECONDS, BrowserSink, BrowserSource
from ai_runner_base.stream.jpeg_sender import BrowserResult
from ai_runner_base.stream.published import encoder_options
from ai_runner_base.supervisor import Stamps

pytestmark = pytest.mark.unit

GREY = np.full((64, 64, 3), 128, np.uint8)
JPEG = JpegEncoder().encode(GREY)
OPTIONS = encoder_options(1_000_000)
NO_INFO = MediaInfo("browser", None, None)


class _Taker:
    """A stream that takes pictures, one at a time when `gate` is closed."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.infos: list[MediaInfo] = []
        self.ends: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    @property
    def feed(self) -> Feed:
        return Feed(self.infos.append, self._take, lambda _: None, self.ends.append)

    def _take(self, picture: Picture) -> None:
        self.entered.set()
        assert self.gate.wait(5)
        self.times.append(picture.pts)


async def _until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_source_keeps_the_newest_picture_while_the_stream_is_busy() -> None:
    taken: list[int] = []
    source, stream = BrowserSource(taken.append), _Taker()
    stream.gate.clear()
    source.start(stream.feed)
    source.put(JPEG, 1)
    await asyncio.to_thread(stream.entered.wait, 5)
    for time_us in (2, 3, 4):
        source.put(JPEG, time_us)
    assert taken == [2, 3], "room was not given back for pictures that nobody will see"
    stream.gate.set()
    await _until(lambda: sorted(taken) == [1, 2, 3, 4])
    await source.aclose()
    assert stream.times == [1, 4]
    assert (source.counters.replaced, source.counters.decoded, stream.ends) == (2, 2, [None])


async def test_source_leaves_out_what_is_no_picture_or_out_of_order() -> None:
    taken: list[int] = []
    source, stream = BrowserSource(taken.append), _Taker()
    source.start(stream.feed)
    for time_us, data in ((10, b"no picture"), (20, JPEG), (20, JPEG), (5, JPEG), (30, JPEG)):
        source.put(data, time_us)
        await _until(lambda wanted=time_us: taken and taken[-1] == wanted)
    await source.aclose()
    assert stream.times == [20, 30]
    assert (source.counters.invalid, source.counters.out_of_order) == (1, 2)
    assert "not a JPEG" in source.status()["last_complaint"]
    assert [info.video.width for info in stream.infos if info.video] == [64]


class _Page:
    """Counts what is sent to it and what memory was given back."""

    def __init__(self) -> None:
        self.results: list[BrowserResult] = []
        self.done: list[int] = []
        self.stamps: list[Stamps] = []
        self.sink = BrowserSink(self.results.append, OPTIONS)
        self.sink.start(self.stamps.append)
        self.sink.begin(64, 64, NO_INFO)

    def submit(self, time_us: int, stamps: Stamps | None = Stamps(received_ns=1)) -> None:  # noqa: B008
        self.sink.submit(GREY, time_us, MICROSECONDS, stamps, lambda: self.done.append(time_us))


def _marked(
    value_ms: int, width: int = 512, height: int = 512, levels: tuple[int, int] = (16, 235)
) -> av.VideoFrame:
    """A grey picture with its margins, as a page makes it."""
    bits = np.asarray(mark_bits(ClipMark(value_ms, flash=False)))[np.arange(width) * BIT_COUNT // width]
    margin = max(16, 2 * round(height / 64))
    luma = np.full((height + 2 * margin, width), 100, np.uint8)
    luma[: margin - 4] = luma[margin + height + 4 :] = np.where(bits, levels[1], levels[0])
    colours = np.full((luma.shape[0] // 2, width), 128, np.uint8)
    return av.VideoFrame.from_ndarray(np.concatenate([luma, colours]), "yuv420p")


@pytest.mark.parametrize("size", [(512, 512), (192, 64), (1280, 720), (600, 800)])
def test_mark_is_read_at_any_size_also_when_the_picture_was_scaled(size: tuple[int, int]) -> None:
    frame = _marked(777_123, *size)
    assert read_edge_mark(frame) == 777_123
    half = frame.reformat(width=frame.width // 4 * 2, height=frame.height // 4 * 2)
    assert read_edge_mark(half) == 777_123
    assert read_edge_mark(av.VideoFrame.from_ndarray(GREY, "rgb24")) is None
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    Fitter(*size).into(frame, fitted)
    assert fitted.min() > 80, "the mark is in the picture"
    assert fitted.max() < 120, "the mark is in the picture"


def test_mark_tells_the_range_of_levels() -> None:
    limited, full = _marked(5), _marked(5, levels=(0, 255))
    assert read_edge_mark(limited) == read_edge_mark(full) == 5
    assert (int(limited.color_range), int(full.color_range)) == (0, 2)


async def test_source_takes_jpeg_and_marked_frames_in_turn_on_one_clock() -> None:
    taken: list[int] = []
    source, stream = BrowserSource(taken.append), _Taker()
    source.start(stream.feed)
    page_ms = 5 * EDGE_WRAP + 100
    source.put(JPEG, page_ms * 1000)
    await _until(lambda: len(stream.times) == 1)
    for value_ms in (page_ms + 33, page_ms + 33, page_ms + 66):
        count = source.counters.decoded + source.counters.out_of_order
        source.put_frame(_marked(value_ms % EDGE_WRAP), 1)
        await _until(lambda n=count: source.counters.decoded + source.counters.out_of_order > n)
    source.put_frame(av.VideoFrame.from_ndarray(np.full((96, 64), 100, np.uint8), "yuv420p"), 1)
    await _until(lambda: source.counters.invalid == 1)
    await source.aclose()
    assert stream.times == [1000 * (page_ms + later) for later in (0, 33, 66)]
    assert source.counters.out_of_order == 1, "a picture that was sent again is none"
    assert taken == stream.times


async def test_sink_encodes_for_watchers_only_while_there_are_any() -> None:
    page, coded = _Page(), []
    page.submit(1)
    assert page.sink.status().get("frames") is None
    leave = page.sink.watched.output.subscribe(coded.append)
    page.sink.use_jpeg(False)
    for time_us in (1_000_000, 2_000_000):
        page.submit(time_us)
        await _until(lambda at=time_us: at in page.done)
    await _until(lambda: len(coded) == 2)
    leave()
    page.submit(3_000_000)
    await page.sink.aclose()
    assert [frame.pts for frame in coded] == [90_000, 180_000]
    notes = [result for result in page.results if not result.jpeg]
    assert [note.time_us for note in notes] == [1_000_000, 2_000_000, 3_000_000]
    assert sorted(page.done) == [1, 1_000_000, 2_000_000, 3_000_000]


async def test_sound_is_laid_beside_the_pictures_that_it_arrives_with() -> None:
    clock = SoundClock()
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 960), np.int16), "s16", "stereo")
    sound.sample_rate = 48_000
    assert clock.packet(sound, 0) is None, "there is no picture yet"
    clock.picture(Fraction(10), 1_000_000_000)
    packets = [clock.packet(sound, 1_000_000_000 + at_ms * 1_000_000) for at_ms in (5, 30, 400)]
    assert [packet and packet.pts for packet in packets] == [480_240, 481_200, 499_200]
    assert packets[0]
    assert packets[0].info.codec == "pcm_s16le"
    assert len(packets[0].data) == 4 * 960


async def test_sink_sends_no_more_than_the_page_has_room_for() -> None:
    page = _Page()
    for time_us in range(1, 50):
        page.submit(time_us)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)
    assert 1 <= len(page.results) <= MOST
    sent = len(page.results)
    page.sink.jpeg.acknowledged()
    await _until(lambda: len(page.results) > sent)
    assert page.results[-1].time_us == 49, "the page was sent an old picture"
    await page.sink.aclose()
    assert sorted(page.done) == list(range(1, 50))


async def test_sink_marks_waiting_pictures_and_does_not_measure_them() -> None:
    page = _Page()
    page.submit(1, None)
    await _until(lambda: len(page.results) == 1)
    page.submit(2)
    await _until(lambda: len(page.results) == 2)
    await page.sink.aclose()
    assert [result.is_waiting_picture for result in page.results] == [True, False]
    assert jpeg_size(page.results[0].jpeg) == (64, 64)
    assert len(page.stamps) == 1


async def test_sink_converts_other_time_bases() -> None:
    page = _Page()
    page.sink.submit(GREY, 90_000, Fraction(1, 90_000), None, lambda: None)
    await _until(lambda: bool(page.results))
    await page.sink.aclose()
    assert page.results[0].time_us == 1_000_000


async def test_closed_sink_gives_memory_back_at_once() -> None:
    page = _Page()
    await page.sink.aclose()
    page.submit(7)
    assert page.done == [7]


async def test_sink_tells_when_it_cannot_go_on() -> None:
    told: list[str] = []
    sink = BrowserSink(lambda _: None, OPTIONS, told.append)
    sink.start(lambda _: None)
    sink.submit(np.empty((0, 0, 3), np.uint8), 1, MICROSECONDS, None, lambda: None)
    await _until(lambda: bool(told))
    await sink.aclose()
    assert told[0].startswith("output: ")
