"""Frames through workflows of a fake ComfyUI: swaps, what is kept, and errors."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai_runner_base import VideoFrame
from ai_runner_base.errors import HostError, PipelineError
from ai_runner_base.pipeline import ParamsError, load_pipeline, params_schema
from ai_runner_comfyui.engine import comfyui_folder
from ai_runner_comfyui.pipeline import ComfyUI
from ai_runner_comfyui.workflow import INVERT

LEVELS: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
    "2": {"class_type": "Level", "inputs": {"name": "half"}},
    "3": {"class_type": "Scale", "inputs": {"image": ["1", 0], "level": ["2", 0]}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}},
}


def _run(story: Callable[[ComfyUI], Awaitable[None]], **params: Any) -> None:
    async def life() -> None:
        pipeline = ComfyUI()
        try:
            await pipeline.initialize(width=64, height=64, **params)
            await story(pipeline)
        finally:
            await pipeline.stop()

    asyncio.run(life())


async def _level(pipeline: ComfyUI, level: int) -> int:
    """What becomes of an even picture."""
    frame = VideoFrame(np.full((64, 64, 3), level, np.uint8), 0, Fraction(1, 30))
    await pipeline.put_video_frame(frame, "stream")
    output = await asyncio.wait_for(pipeline.get_processed_video_frame(), 10)
    assert output.frame.array.shape == (64, 64, 3)
    assert np.ptp(output.frame.array) == 0
    return int(output.frame.array[0, 0, 0])


def test_the_first_workflow_inverts() -> None:
    async def story(pipeline: ComfyUI) -> None:
        assert [await _level(pipeline, level) for level in (0, 55, 255)] == [255, 200, 0]
        assert sys.modules["comfy.cli_args"].args.cpu is True
        assert sys.modules["nodes"].ASKED == {"custom": False, "api": False}

    _run(story)


def test_a_workflow_is_swapped_between_two_frames() -> None:
    async def story(pipeline: ComfyUI) -> None:
        assert await _level(pipeline, 100) == 155
        assert await pipeline.update_params(width=64, height=64, workflow=LEVELS) is None
        assert await _level(pipeline, 100) == 50
        await pipeline.update_params(width=64, height=64, workflow=INVERT)
        assert await _level(pipeline, 100) == 155

    _run(story)


def test_what_does_not_depend_on_the_frame_runs_once() -> None:
    async def story(pipeline: ComfyUI) -> None:
        assert [await _level(pipeline, level) for level in (100, 200, 200)] == [50, 100, 100]
        assert sys.modules["nodes"].LOADED["Level"] == 1

    _run(story, workflow=LEVELS)


def test_a_node_that_raises_costs_one_frame_and_is_named() -> None:
    async def story(pipeline: ComfyUI) -> None:
        with pytest.raises(
            PipelineError, match=r"node 3 \(Scale\) raised ValueError: nothing would be left$"
        ):
            await _level(pipeline, 100)
        await pipeline.update_params(width=64, height=64, workflow=LEVELS)
        assert await _level(pipeline, 100) == 50

    _run(story, workflow=LEVELS, changes={"2.name": "none"})


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"workflow": {**INVERT, "2": {"class_type": "Nothing", "inputs": {}}}}, "#2 Nothing"),
        (
            {"workflow": {**INVERT, "2": {"class_type": "ImageInvert", "inputs": {}}}},
            "node 2 .*missing: image",
        ),
        ({"workflow": LEVELS, "changes": {"2.name": "full"}}, "not in list: name: 'full'"),
        ({"workflow": {"1": INVERT["1"]}}, "a workflow has one output node"),
    ],
)
def test_a_workflow_that_is_refused_leaves_the_old_one_running(params: dict[str, Any], reason: str) -> None:
    async def story(pipeline: ComfyUI) -> None:
        with pytest.raises(ParamsError, match=reason) as raised:
            await pipeline.update_params(width=64, height=64, **params)
        assert raised.value.details
        assert await _level(pipeline, 100) == 155

    _run(story)


def test_custom_nodes_are_loaded_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_CUSTOM_NODES", "1")
    ComfyUI.prepare_models()
    assert sys.modules["nodes"].ASKED["custom"] is True


def test_model_folders_that_comfyui_lists_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = shutil.copytree(comfyui_folder(), tmp_path / "ComfyUI")
    (folder / "extra_model_paths.yaml").write_text("")
    monkeypatch.setenv("COMFYUI_DIR", str(folder))
    ComfyUI.prepare_models()
    read = sys.modules["utils.extra_config"].READ
    assert read == [str(folder / "extra_model_paths.yaml")]


def test_the_older_variable_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = comfyui_folder()
    monkeypatch.delenv("COMFYUI_DIR")
    monkeypatch.setenv("COMFY_UI_WORKSPACE", str(folder))
    assert comfyui_folder() == folder


def test_without_comfyui_the_pipeline_is_listed_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("COMFYUI_DIR")
    loaded = load_pipeline("ai_runner_comfyui.pipeline:ComfyUI")
    assert {"workflow", "changes"} <= set(params_schema(loaded.params_cls)["properties"])
    with pytest.raises(HostError, match="published as no Python package") as raised:
        ComfyUI.prepare_models()
    assert "COMFYUI_DIR" in raised.value.hint
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path))
    with pytest.raises(HostError, match="is no folder of ComfyUI"):
        ComfyUI.prepare_models()


def test_a_package_that_comfyui_needs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "execution.py").write_text("import sampler_of_the_future\n")
    for place, text in (("comfy/cli_args.py", "class args: cpu = False\n"), ("utils/extra_config.py", "")):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text(text)
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path))
    with pytest.raises(HostError, match="needs the Python package 'sampler_of_the_future'"):
        ComfyUI.prepare_models()
