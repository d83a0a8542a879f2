"""What one encoder makes, spread to those who watch: frames and MPEG-TS, each from a key frame on."""

from __future__ import annotations

import asyncio
import threading
from fractions import Fraction

import numpy as np
import pytest

from ai_runner_base.media import CodedFrame, Cut, LiveEncoder
from ai_runner_base.stream import Output, encoder_options
from ai_runner_base.stream.output import BUFFER_BYTES, KEY_FRAME_EVERY_S

pytestmark = pytest.mark.media

SPS = b"\x00\x00\x00\x01\x67"


def _frame(number: int) -> CodedFrame:
    return CodedFrame(b"frame %d" % number, number * 3000, number * 3000, number == 0)


def test_the_encoder_of_a_published_stream_makes_constrained_baseline() -> None:
    coded: list[CodedFrame] = []
    ended = threading.Event()
    encoder = LiveEncoder(
        256,
        256,
        on_bytes=lambda *_: None,
        on_coded=coded.append,
        on_end=lambda _: ended.set(),
        options=encoder_options(500_000),
    )
    encoder.start()
    pixels = np.random.default_rng(1).integers(0, 255, (256, 256, 3), np.uint8)
    for number in range(3):
        encoder.submit(pixels, number, Fraction(1, 30))
    encoder.close()
    assert ended.wait(5)
    assert [frame.pts for frame in coded] == [0, 3000, 6000]
    assert [frame.key_frame for frame in coded] == [True, False, False]
    profile, constraints = coded[0].data.split(SPS)[1][:2]
    assert (profile, constraints & 0x40) == (66, 0x40)


async def test_frames_reach_every_watcher_until_it_leaves_and_all_are_told_of_the_end() -> None:
    output = Output(lambda: None)
    first: list[CodedFrame | None] = []
    second: list[CodedFrame | None] = []
    leave, _ = output.subscribe(first.append), output.subscribe(second.append)
    await asyncio.to_thread(output.take_frame, _frame(0))
    await asyncio.sleep(0)
    leave()
    assert output.watchers == 1
    await asyncio.to_thread(output.take_frame, _frame(1))
    await asyncio.sleep(0)
    output.close()
    assert (first, second) == ([_frame(0)], [_frame(0), _frame(1), None])
    late: list[CodedFrame | None] = []
    output.subscribe(late.append)
    await asyncio.sleep(0.01)
    assert late == [None]


async def test_key_frames_that_are_asked_for_at_once_are_one() -> None:
    asked: list[float] = []
    output = Output(lambda: asked.append(asyncio.get_running_loop().time()))
    for _ in range(20):
        output.request_key_frame()
    await asyncio.sleep(0.05)
    assert len(asked) == 1
    for _ in range(20):
        output.request_key_frame()
    async with asyncio.timeout(5):
        while len(asked) < 2:
            await asyncio.sleep(0.01)
    assert asked[1] - asked[0] >= KEY_FRAME_EVERY_S - 0.01


async def test_mpeg_ts_begins_with_a_segment_and_a_slow_reader_goes_on_with_another() -> None:
    output = Output(lambda: None)
    reader = output.ts()
    reading = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    output.take_bytes(b"middle of a segment", None)
    output.take_bytes(b"first", Cut(1, 0))
    assert await asyncio.wait_for(reading, 5) == b"first"
    for data, cut in (
        (b"more ", None),
        (b"x" * BUFFER_BYTES, None),
        (b"left out", None),
        (b"next", Cut(2, 90_000)),
    ):
        output.take_bytes(data, cut)
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(anext(reader), 5) == b"more next"
    output.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(reader), 5)
    assert output.watchers == 0
