"""Parameters, specifications, the abstract class, and the import paths of both names."""

import asyncio
import importlib
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from pydantic import Field, ValidationError

from ai_runner_base import VideoFrame as NativeFrame
from ai_runner_base.errors import CallerError
from ai_runner_base.pipeline import load_pipeline as load_for_worker
from runner.app import create_app, start_app
from runner.live.pipelines import BaseParams, Pipeline, PipelineSpec, builtin_pipeline_spec
from runner.live.pipelines.loader import load_pipeline, parse_pipeline_params
from runner.live.pipelines.noop import Noop
from runner.live.trickle import VideoFrame, VideoOutput
from runner.pipelines.live_video_to_video import LiveVideoToVideoPipeline


class Prompt(BaseParams):
    text: str = Field("a cat", alias="prompt")


@pytest.mark.parametrize("size", [383, 384, 448, 450, 512, 1024, 1088])
def test_sizes_are_multiples_of_64_from_384_to_1024(size):
    if size in (384, 448, 512, 1024):
        assert BaseParams(width=size).get_output_resolution() == (size, 512)
    else:
        with pytest.raises(ValidationError):
            BaseParams(width=size)


def test_params_are_512_ignore_what_they_do_not_know_and_may_be_changed():
    params = BaseParams(unheard_of=1)
    assert params.model_dump() == {"width": 512, "height": 512, "show_reloading_frame": True}
    params.show_reloading_frame = False
    assert params.show_reloading_frame is False


def test_a_field_with_an_alias_is_filled_by_its_name_too():
    """The worker calls with names, and a pipeline makes its parameters of what it is called with."""
    first = Prompt(prompt="a dog")
    assert Prompt(**first.model_dump()).text == "a dog"


def test_the_name_is_the_class_in_lower_case_without_pipeline():
    assert PipelineSpec(pipeline_cls="a.b:MyCoolPipeline").name == "mycool"
    assert PipelineSpec(name="x", pipeline_cls="a.b:MyCoolPipeline").name == "x"
    text = PipelineSpec(pipeline_cls="a.b:Depth", initial_params={"a": 1}).model_dump_json()
    assert PipelineSpec.model_validate_json(text).initial_params == {"a": 1}


def test_the_built_in_pipeline_is_noop_alone():
    spec = builtin_pipeline_spec("noop")
    assert isinstance(load_pipeline(spec), Noop)
    assert parse_pipeline_params(spec, {"width": 448}).width == 448
    assert builtin_pipeline_spec("streamdiffusion") is None


def test_the_worker_takes_a_specification(monkeypatch):
    place = "runner.live.pipelines.noop:spec"
    spec = PipelineSpec(
        pipeline_cls="runner.live.pipelines.noop:Noop", initial_params={"width": 448, "more": 1}
    )
    monkeypatch.setattr("runner.live.pipelines.noop.spec", spec, raising=False)
    loaded = load_for_worker(place)
    assert (loaded.name, loaded.pipeline_cls) == ("noop", Noop)
    assert loaded.initial_params.model_dump() == {
        "width": 448,
        "height": 512,
        "show_reloading_frame": True,
        "more": 1,
    }


class Mixin:
    """A method that is not written in a subclass of Pipeline."""

    async def put_video_frame(self, frame, request_id):
        self.seen.append(frame)


class Mixed(Mixin, Pipeline):
    def __init__(self):
        super().__init__()
        self.seen = []

    async def initialize(self, **params):
        pass

    async def get_processed_video_frame(self):
        return VideoOutput(VideoFrame(np.zeros((1, 8, 8, 3)), 1.0, 0.04), "stream")

    async def update_params(self, **params):
        pass


class Derived(Mixed):
    async def put_video_frame(self, frame, request_id):
        await super().put_video_frame(frame.replace_tensor("picture"), request_id)


def test_frames_are_translated_wherever_the_method_is_written():
    pipeline = Derived()
    asyncio.run(pipeline.put_video_frame(NativeFrame(np.zeros((8, 8, 3), np.uint8), 3, Fraction(1, 30)), ""))
    assert pipeline.seen[0].tensor == "picture"
    assert pipeline.seen[0].timestamp == 3


def test_times_that_are_floats_become_exact():
    output = asyncio.run(Mixed().get_processed_video_frame())
    assert (output.timestamp, output.time_base) == (1, Fraction(1, 25))
    assert isinstance(output.timestamp, int)


def test_an_unfinished_pipeline_cannot_be_made():
    class Half(Pipeline):
        async def initialize(self, **params):
            pass

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_the_wrapper_names_what_it_wraps():
    wrapped = LiveVideoToVideoPipeline(builtin_pipeline_spec("noop"))
    assert (wrapped.name, wrapped.model_id) == ("live-video-to-video", "noop")
    assert str(wrapped) == "LiveVideoToVideoPipeline model_id=noop"


def test_an_asgi_server_is_told_what_to_start_instead():
    with pytest.raises(CallerError, match="start_app"):
        asyncio.run(create_app()({}, None, None))


def test_what_is_no_specification_is_refused(capsys):
    with pytest.raises(SystemExit):
        start_app(pipeline="noop")
    assert "start_app got str, not a PipelineSpec" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["live.pipelines", "live.pipelines.interface", "live.pipelines.spec", "app"])
def test_the_older_name_has_the_same_objects(path):
    new, old = importlib.import_module(f"runner.{path}"), importlib.import_module(f"app.{path}")
    assert new.__all__ == old.__all__
    assert all(getattr(new, name) is getattr(old, name) for name in new.__all__)


def test_a_pipelines_imports_bring_no_server_no_solver_and_no_torch():
    code = (
        "import sys, runner.live.pipelines, runner.live.trickle, runner.app, app.live.pipelines.trickle\n"
        "sys.exit(' '.join({'aiohttp', 'av', 'rattler', 'torch', 'click'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
