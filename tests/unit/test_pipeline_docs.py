"""The author's page is true: its examples run, in order, in one namespace, and so do the pipelines in them."""

from __future__ import annotations

import asyncio
import re
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ai_runner_base import FramePipeline, Pipeline, PipelineSpec, VideoFrame
from ai_runner_base.pipeline import BaseParams, arrays, params_schema

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[2] / "docs/pipelines.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture(scope="module")
def page():
    """Everything that the page defines."""
    module = ModuleType("authors_page")
    sys.modules[module.__name__] = module  # pydantic looks annotations up there
    for snippet in SNIPPETS:
        exec(compile(snippet, str(PAGE), "exec"), module.__dict__)  # noqa: S102  # our own documentation
    yield module
    del sys.modules[module.__name__]


async def output_of(pipeline, value=100, **params):
    await pipeline.initialize(**params)
    frame = VideoFrame(np.full((512, 512, 3), value, np.uint8), 5, Fraction(1, 30))
    await pipeline.put_video_frame(frame, "test")
    output = await asyncio.wait_for(pipeline.get_processed_video_frame(), 5)
    await pipeline.stop()
    return output.frame


def test_every_pipeline_of_the_page_gives_a_picture(page, monkeypatch, tmp_path):
    """Made, initialised, fed, stopped: the frame comes back with its time and size."""
    floats = property(lambda frame: arrays.as_float(frame.array[None]))  # as the tensor is, without torch
    monkeypatch.setattr(VideoFrame, "tensor", floats)
    monkeypatch.chdir(tmp_path)
    classes = [c for c in vars(page).values() if isinstance(c, type) and c.__module__ == page.__name__]
    pipelines = [c for c in classes if issubclass(c, Pipeline)]
    assert len(pipelines) == 6
    for pipeline_cls in pipelines:
        pipeline_cls.prepare_models()
        frame = asyncio.run(output_of(pipeline_cls()))
        assert frame.pts == 5, pipeline_cls
        assert frame.array.shape == (512, 512, 3), pipeline_cls


def test_the_first_example_inverts(page):
    """And strength 0 leaves the picture as it is, as its description says."""
    assert asyncio.run(output_of(page.Invert(), 100)).array[0, 0, 0] == 155
    assert asyncio.run(output_of(page.Invert(), 100, strength=0)).array[0, 0, 0] == 100


def test_parameters_of_the_page(page):
    """The table's claims hold for the example."""
    assert page.PaintParams.reload_names() == {"width", "height", "model_id"}
    assert params_schema(page.PaintParams)["properties"]["width_px"]["unit"] == "px"
    for name in ("width", "height", "show_reloading_frame"):
        assert f"`{name}`" in PAGE.read_text()


def test_the_specification_of_the_page(page):
    """It is one, and its parameters fit its class."""
    assert isinstance(page.strong_blur, PipelineSpec)
    assert page.Blur.Params(**page.strong_blur.initial_params).radius_px == 32


@pytest.mark.parametrize("cls", [Pipeline, FramePipeline, VideoFrame, BaseParams])
def test_every_public_name_is_on_the_page(cls):
    """What an author can use or override is documented."""
    hosts = {
        "use_executor",
        "process",
        "process_async",
        "is_sync",
        "params",
        "reload_names",
        "data",
        "device",
    }
    names = {name for name in vars(cls) if not name.startswith(("_", "model_"))} - hosts
    assert names, cls
    missing = {name for name in names if not re.search(rf"\b{name}\b", PAGE.read_text())}
    assert not missing
