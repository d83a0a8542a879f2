"""Frames through nodes of a fake scope: chunks, times, reloads, a clock for those that take no frames."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai_runner_base import VideoFrame, VideoOutput
from ai_runner_base.errors import HostError, PipelineError
from ai_runner_base.pipeline import ParamsError
from ai_runner_scope import params as scope_params
from ai_runner_scope import pipeline as scope_pipeline
from ai_runner_scope.pipeline import Scope

BASE = Fraction(1, 30)
SIZE = {"width": 64, "height": 64}
Story = Callable[[Scope], Awaitable[None]]


def _frame(pts: int) -> VideoFrame:
    return VideoFrame(np.full((64, 64, 3), 10 * pts % 256, np.uint8), pts, BASE)


async def _get(pipeline: Scope) -> VideoOutput:
    return await asyncio.wait_for(pipeline.get_processed_video_frame(), 10)


async def _through(pipeline: Scope, times: range | list[int], count: int) -> list[VideoOutput]:
    """Put frames in one task and take results in another, as a worker does."""

    async def put() -> None:
        for pts in times:
            await pipeline.put_video_frame(_frame(pts), "stream")

    putting = asyncio.create_task(put())
    outputs = [await _get(pipeline) for _ in range(count)]
    await asyncio.wait_for(putting, 10)
    return outputs


def _run(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    story: Story,
    values: dict[str, Any] | None = None,
    *,
    stop: bool = True,
) -> None:
    """One life of the pipeline with a node chosen."""
    monkeypatch.setenv("SCOPE_PIPELINE", name)
    monkeypatch.setattr(Scope, "Params", scope_params.chosen_params())

    async def life() -> None:
        pipeline = Scope()
        await pipeline.initialize(**{**SIZE, "pipeline": name, **(values or {})})
        await story(pipeline)
        if stop:
            await pipeline.stop()

    asyncio.run(life())


def _times(outputs: list[VideoOutput]) -> list[Fraction]:
    return [output.frame.pts * output.frame.time_base for output in outputs]


def test_one_in_one_out_at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, range(1, 6), 5)
        assert [(output.frame.pts, output.request_id) for output in outputs] == [
            (pts, "stream") for pts in range(1, 6)
        ]
        assert [int(output.frame.array[0, 0, 0]) for output in outputs] == [10, 20, 30, 40, 50]

    _run(monkeypatch, "gray", story)


def test_chunks_go_in_whole_and_come_out_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, range(10), 8)
        assert [output.frame.pts for output in outputs] == list(range(8))
        assert [int(output.frame.array[5, 5, 2]) for output in outputs] == [10 * pts for pts in range(8)]
        node = pipeline._node
        assert [tuple(picture.shape) for picture in node.called["video"]] == [(1, 64, 64, 3)] * 4
        assert str(node.called["video"][0].dtype).endswith("uint8")
        assert node.called["init_cache"] is False

    _run(monkeypatch, "passthrough", story)


def test_more_pictures_than_frames_are_spread_over_the_chunk(
    monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    (checkout / "RIFE/flow").mkdir(parents=True)
    for file in ("config.json", "flow/net.pkl"):
        (checkout / "RIFE" / file).write_text("weights")

    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, range(6), 10)
        assert _times(outputs) == [start + index * BASE / 2 for start in (0, 3 * BASE) for index in range(5)]
        assert [int(output.frame.array[0, 0, 0]) for output in outputs[:5]] == [0, 0, 10, 10, 20]

    _run(monkeypatch, "rife", story)


def test_a_jump_of_the_clock_or_another_stream_begins_a_new_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, [100, 101, 0, 1, 2, 3], 4)
        assert [output.frame.pts for output in outputs] == [0, 1, 2, 3]
        await pipeline.put_video_frame(_frame(4), "stream")
        for pts in range(5, 9):
            await pipeline.put_video_frame(_frame(pts), "another")
        found = [await _get(pipeline) for _ in range(4)]
        assert [(output.frame.pts, output.request_id) for output in found] == [
            (pts, "another") for pts in range(5, 9)
        ]

    _run(monkeypatch, "passthrough", story)


def test_the_last_frames_come_back_although_they_fill_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope_pipeline, "_PATIENCE_S", 0.2)

    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, range(6), 6)
        assert [output.frame.pts for output in outputs] == list(range(6))
        assert len(pipeline._node.called["video"]) == 4
        assert int(pipeline._node.called["video"][3].max()) == 50
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pipeline.get_processed_video_frame(), 0.3)
        assert [output.frame.pts for output in await _through(pipeline, range(6, 10), 4)] == [6, 7, 8, 9]

    _run(monkeypatch, "passthrough", story)


def test_frames_are_copied_so_that_their_place_can_be_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pipeline: Scope) -> None:
        slot = np.zeros((64, 64, 3), np.uint8)
        for pts in range(4):
            slot[:] = 50 + pts
            await pipeline.put_video_frame(VideoFrame(slot, pts, BASE), "stream")
        slot[:] = 0
        assert [int((await _get(pipeline)).frame.array.max()) for _ in range(4)] == [50, 51, 52, 53]

    _run(monkeypatch, "passthrough", story)


def test_a_whole_chunk_is_there_before_anybody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pipeline: Scope) -> None:
        for pts in range(8):
            await asyncio.wait_for(pipeline.put_video_frame(_frame(pts), "stream"), 10)
        assert [(await _get(pipeline)).frame.pts for _ in range(8)] == list(range(8))

    _run(monkeypatch, "passthrough", story)


def test_a_call_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(Scope, "_call", lambda *_: release.wait(10))

    async def story(pipeline: Scope) -> None:
        await pipeline.put_video_frame(_frame(0), "stream")
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(3, release.set)
        await asyncio.wait_for(pipeline.stop(), 2.5)
        assert not release.is_set()
        release.set()

    _run(monkeypatch, "gray", story, stop=False)


# Text: the input frame as a clock


def test_a_node_that_paints_from_a_prompt_answers_every_frame_at_its_time(
    monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    _weights(checkout)

    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, range(9), 9)
        assert [output.frame.pts for output in outputs] == list(range(9))
        levels = [round(output.frame.array.mean() / 25.5) for output in outputs]
        assert levels == [1, 1, 1, 2, 2, 2, 3, 3, 3]
        first = pipeline._node.calls[0]
        assert first["prompts"] == [{"text": "a fox", "weight": 1.0}]
        assert first["init_cache"] is True
        assert "video" not in first
        assert pipeline._node.calls[1]["init_cache"] is False

    _run(monkeypatch, "longlive", story, {"mode": "text", "prompt": "a fox"})


def test_pictures_are_painted_ahead_but_no_more_than_one_batch(
    monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    _weights(checkout)

    async def story(pipeline: Scope) -> None:
        await _through(pipeline, range(30), 30)
        assert len(pipeline._node.calls) <= 30 // 3 + 2
        assert len(pipeline._pictures) <= 6

    _run(monkeypatch, "longlive", story, {"mode": "text"})


def test_the_same_node_takes_video_too(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    _weights(checkout)

    async def story(pipeline: Scope) -> None:
        outputs = await _through(pipeline, range(4), 6)
        assert _times(outputs) == [start + index * BASE / 2 for start in (0, 2 * BASE) for index in range(3)]
        assert len(pipeline._node.calls[0]["video"]) == 2
        assert pipeline._node.calls[0]["noise_scale"] == 0.7

    _run(monkeypatch, "longlive", story)


def _weights(folder: Path) -> None:
    (folder / "LongLive-1.3B/models").mkdir(parents=True)
    (folder / "LongLive-1.3B/models/longlive_base.pt").write_text("weights")


# Changes and failures


def test_live_parameters_apply_from_the_next_call_on(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    _weights(checkout)

    async def story(pipeline: Scope) -> None:
        node = pipeline._node
        values = {**SIZE, "pipeline": "longlive"}
        assert await pipeline.update_params(**values, prompt="a hare", noise_scale=0.1) is None
        await _through(pipeline, range(2), 3)
        assert pipeline._node is node
        assert node.calls[-1]["prompts"] == [{"text": "a hare", "weight": 1.0}]
        assert node.calls[-1]["noise_scale"] == 0.1

    _run(monkeypatch, "longlive", story)


def test_another_size_or_node_is_a_reload_during_which_the_picture_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(pipeline: Scope) -> None:
        before = pipeline._node
        reload = await pipeline.update_params(**SIZE, pipeline="gray")
        assert isinstance(reload, asyncio.Task)
        await asyncio.sleep(0)
        await pipeline.put_video_frame(_frame(7), "stream")
        passed = await _get(pipeline)
        assert passed.is_loading_frame
        assert int(passed.frame.array[0, 0, 0]) == 70
        await asyncio.wait_for(reload, 10)
        assert before.is_shut_down
        outputs = await _through(pipeline, range(10, 12), 2)
        assert [output.is_loading_frame for output in outputs] == [False, False]
        again = await pipeline.update_params(width=128, height=64, pipeline="passthrough")
        await asyncio.wait_for(again, 10)
        assert pipeline._node.made[:2] == (64, 128)

    _run(monkeypatch, "passthrough", story)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pipeline": "rife"}, "ai-runner prepare scope"),
        ({"pipeline": "memflow"}, "flash_attention_of_the_future"),
        ({"precision": "float16"}, "takes minutes"),
        ({"mode": "text"}, "has only video"),
    ],
)
def test_a_change_that_cannot_be_carried_out_is_refused_and_the_old_node_goes_on(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], reason: str
) -> None:
    async def story(pipeline: Scope) -> None:
        with pytest.raises(ParamsError, match=reason) as raised:
            await pipeline.update_params(**{**SIZE, "pipeline": "passthrough", **values})
        assert reason in raised.value.details[0]["msg"]
        assert len(await _through(pipeline, range(4), 4)) == 4

    _run(monkeypatch, "passthrough", story)


def test_a_call_that_fails_is_told_and_costs_its_chunk_only(
    monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    _weights(checkout)

    async def story(pipeline: Scope) -> None:
        values = {**SIZE, "pipeline": "longlive"}
        await pipeline.update_params(**values, prompt="fail")
        with pytest.raises(ValueError, match="no such picture"):
            await _through(pipeline, range(2), 1)
        await pipeline.update_params(**values, prompt="a hare")
        assert len(await _through(pipeline, range(2, 4), 3)) == 3

    _run(monkeypatch, "longlive", story)


@pytest.mark.parametrize("mode", ["video", "text"])
def test_a_painter_that_fails_is_told_for_every_frame(
    monkeypatch: pytest.MonkeyPatch, checkout: Path, mode: str
) -> None:
    _weights(checkout)

    async def story(pipeline: Scope) -> None:
        for pts in (0, 2):
            with pytest.raises(ValueError, match="no such picture"):
                await _through(pipeline, range(pts, pts + 2), 1)
            while not pipeline._outputs.empty():
                pipeline._outputs.get_nowait()

    _run(monkeypatch, "longlive", story, {"mode": mode, "prompt": "fail"})


def test_an_answer_that_is_no_video_says_what_came(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    (checkout / "scribble").mkdir(parents=True)
    (checkout / "scribble/net.pth").write_text("weights")

    async def story(pipeline: Scope) -> None:
        with pytest.raises(PipelineError, match=r"'scribble' gave \['audio'\], not a video"):
            await _through(pipeline, range(1), 1)

    _run(monkeypatch, "scribble", story)


def test_a_wrong_choice_is_refused_at_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pipeline: Scope) -> None:
        raise AssertionError("must not come to life")

    with pytest.raises(HostError, match="SCOPE_PIPELINE='grey'"):
        _run(monkeypatch, "grey", story, {"pipeline": "gray"})
