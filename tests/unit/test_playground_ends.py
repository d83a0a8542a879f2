"""A browser's two ends: newest wins, nothing grows, every picture's memory is given back once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from ai_runner_base.media import JpegEncoder, MediaInfo, Picture, jpeg_size
from ai_runner_base.stream._ends import Feed
from ai_runner_base.stream._window import MOST
from ai_runner_base.stream.browser_ends import MICROSECONDS, BrowserResult, BrowserSink, BrowserSource
from ai_runner_base.supervisor import Stamps

pytestmark = pytest.mark.unit

GREY = np.full((64, 64, 3), 128, np.uint8)
JPEG = JpegEncoder().encode(GREY)
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
        self.sink = BrowserSink(self.results.append)
        self.sink.start(self.stamps.append)
        self.sink.begin(64, 64, NO_INFO)

    def submit(self, time_us: int, stamps: Stamps | None = Stamps(received_ns=1)) -> None:  # noqa: B008
        self.sink.submit(GREY, time_us, MICROSECONDS, stamps, lambda: self.done.append(time_us))


async def test_sink_sends_no_more_than_the_page_has_room_for() -> None:
    page = _Page()
    for time_us in range(1, 50):
        page.submit(time_us)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)
    assert 1 <= len(page.results) <= MOST
    sent = len(page.results)
    page.sink.acknowledged()
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
    sink = BrowserSink(lambda _: None, told.append)
    sink.start(lambda _: None)
    sink.submit(np.empty((0, 0, 3), np.uint8), 1, MICROSECONDS, None, lambda: None)
    await _until(lambda: bool(told))
    await sink.aclose()
    assert told[0].startswith("output: ")
