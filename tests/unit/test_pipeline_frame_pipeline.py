"""FramePipeline: an author's plain functions, called in one thread, one at a time, through either door."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from pydantic import Field

from ai_runner_base import BaseParams, FramePipeline, Pipeline, VideoFrame
from ai_runner_base.errors import PipelineError
from ai_runner_base.pipeline import ParamsError, hints

pytestmark = pytest.mark.unit


class Params(BaseParams):
    gain: float = Field(1.0, ge=0, le=2)
    model: str = Field("a", json_schema_extra=hints(live=False))


class Recorder(FramePipeline):
    """Notes every call: name, detail, thread; and whether two calls ever overlap."""

    Params = Params
    slow_s = 0.0

    def __init__(self):
        self.calls, self.threads, self.busy = [], set(), threading.Lock()

    def _note(self, *what):
        assert self.busy.acquire(blocking=False), "two calls at a time"
        time.sleep(self.slow_s)
        self.calls.append(what)
        self.threads.add(threading.current_thread().name)
        self.busy.release()

    def setup(self, params):
        self._note("setup", params.model, self.params)

    def on_params(self, params):
        self._note("on_params", params.gain, self.params.gain)

    def transform(self, frame, params):
        self._note("transform", params.gain)
        return frame.array * np.float32(params.gain / 255)

    def teardown(self):
        self._note("teardown")


class AsyncInvert(FramePipeline):
    """The same as coroutines."""

    Params = Params
    loaded = closed = False

    async def setup(self, params):
        await asyncio.sleep(0)
        self.loaded = True

    async def transform(self, frame, params):
        await asyncio.sleep(0)
        return 255 - frame.array

    async def teardown(self):
        self.closed = True


def frame_of(value=100, pts=3):
    return VideoFrame(np.full((8, 8, 3), value, np.uint8), pts, Fraction(1, 30))


async def through(pipeline, frame):
    await pipeline.put_video_frame(frame, "stream")
    return await asyncio.wait_for(pipeline.get_processed_video_frame(), 5)


async def test_the_life_of_a_plain_pipeline():
    """setup, frames, live change, frames, teardown: in this order, in one thread that is not the loop's."""
    pipeline = Recorder()
    await pipeline.initialize()
    first = await through(pipeline, frame_of())
    assert await pipeline.update_params(gain=2) is None
    second = await through(pipeline, frame_of())
    await pipeline.stop()
    assert pipeline.calls == [
        ("setup", "a", None),
        ("transform", 1.0),
        ("on_params", 2.0, 1.0),
        ("transform", 2.0),
        ("teardown",),
    ]
    assert (first.frame.array[0, 0, 0], second.frame.array[0, 0, 0]) == (100, 200)
    assert (first.request_id, first.frame.pts, first.frame.time_base) == ("stream", 3, Fraction(1, 30))
    assert len(pipeline.threads) == 1
    assert threading.current_thread().name not in pipeline.threads


async def test_a_reload_is_a_task_and_calls_setup_again():
    """A change of a ``live=False`` parameter loads anew; the old parameters are in force until then."""
    pipeline = Recorder()
    await pipeline.initialize()
    task = await pipeline.update_params(model="b", gain=2)
    assert pipeline.params.model == "a"
    await asyncio.wait_for(task, 5)
    assert (pipeline.params.model, pipeline.params.gain) == ("b", 2.0)
    assert pipeline.calls[-1][:2] == ("setup", "b")
    await pipeline.stop()


async def test_an_update_during_a_reload_is_judged_by_what_was_asked_last():
    """Going back to the old model while the new one loads loads the old one again."""
    pipeline = Recorder()
    pipeline.slow_s = 0.02
    await pipeline.initialize()
    tasks = [await pipeline.update_params(model=model) for model in ("b", "a")]
    assert None not in tasks
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert [call[1] for call in pipeline.calls] == ["a", "b", "a"]
    assert pipeline.params.model == "a"
    await pipeline.stop()


async def test_calls_never_overlap():
    """Frames, changes and reloads asked for at once happen one after the other."""
    pipeline = Recorder()
    pipeline.slow_s = 0.005
    await pipeline.initialize()
    jobs = [pipeline.process_async(frame_of()) for _ in range(4)]
    jobs += [pipeline.update_params(gain=gain) for gain in (0.5, 1.5)]
    jobs += [pipeline.process_async(frame_of()) for _ in range(4)]
    await asyncio.wait_for(asyncio.gather(*jobs), 5)
    assert len(pipeline.calls) == 11
    await pipeline.stop()


async def test_wrong_parameters_change_nothing():
    """The old ones stay in force and the author is not bothered."""
    pipeline = Recorder()
    await pipeline.initialize(gain=0.5)
    with pytest.raises(ParamsError, match="gain = 3"):
        await pipeline.update_params(gain=3)
    assert pipeline.params.gain == 0.5
    assert [call[0] for call in pipeline.calls] == ["setup"]
    await pipeline.stop()


async def test_coroutines_run_on_the_loop():
    """An ``async def`` transform is awaited, and the class says that it is not plain."""
    pipeline = AsyncInvert()
    assert not AsyncInvert.is_sync
    assert Recorder.is_sync
    await pipeline.initialize()
    output = await through(pipeline, frame_of(5))
    await pipeline.stop()
    assert output.frame.array[0, 0, 0] == 250
    assert pipeline.loaded
    assert pipeline.closed


async def test_a_host_lends_its_frame_thread():
    """With the host's executor everything runs in the host's thread, and it stays the host's."""
    pipeline = Recorder()
    with ThreadPoolExecutor(1, thread_name_prefix="hosts-own") as executor:
        pipeline.use_executor(executor)
        await pipeline.initialize()
        result = await asyncio.get_running_loop().run_in_executor(executor, pipeline.process, frame_of())
        await pipeline.update_params(gain=2)
        await pipeline.stop()
        assert executor.submit(lambda: True).result(5)
    assert result.array[0, 0, 0] == 100
    assert pipeline.threads == {"hosts-own_0"}


async def test_setup_that_raises_is_reported_and_torn_down():
    """The exception reaches the host; teardown still runs."""

    class Broken(Recorder):
        def setup(self, params):
            raise RuntimeError("no weights")

    pipeline = Broken()
    with pytest.raises(RuntimeError, match="no weights"):
        await pipeline.initialize()
    assert pipeline.params is None
    await pipeline.stop()
    assert pipeline.calls == [("teardown",)]


async def test_transform_that_raises_does_not_block_the_next():
    """One bad frame is one error."""

    class Picky(Recorder):
        def transform(self, frame, params):
            if frame.pts == 0:
                raise ValueError("not this one")
            return frame

    pipeline = Picky()
    await pipeline.initialize()
    with pytest.raises(ValueError, match="not this one"):
        await pipeline.put_video_frame(frame_of(pts=0), "stream")
    assert (await through(pipeline, frame_of(pts=1))).frame.pts == 1
    await pipeline.stop()


def test_forgotten_return_is_named():
    """None is never a picture."""

    class Forgetful(FramePipeline):
        def transform(self, frame, params):
            frame.array[:] = 0

    with pytest.raises(PipelineError, match=r"returned None.*return the picture"):
        Forgetful().process(frame_of())


def test_a_frame_may_come_back_itself():
    """No wrapping, no copy: what noop costs is nothing."""

    class Same(FramePipeline):
        def transform(self, frame, params):
            return frame

    frame = frame_of()
    assert Same().process(frame) is frame


def test_both_kinds_are_pipelines():
    """A host that knows only the asynchronous interface runs either."""
    assert issubclass(FramePipeline, Pipeline)
    with pytest.raises(TypeError, match="abstract"):
        FramePipeline()
    assert Recorder.prepare_models() is None
