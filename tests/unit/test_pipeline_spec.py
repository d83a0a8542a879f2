"""From an entry point's text to a class, with errors that name what is wrong."""

from __future__ import annotations

import sys

import pytest

from ai_runner_base import BaseParams, FramePipeline, Pipeline, PipelineSpec
from ai_runner_base.errors import PipelineError
from ai_runner_base.pipeline import ParamsError, load_pipeline

pytestmark = pytest.mark.unit

MODULE = """
from ai_runner_base import BaseParams, FramePipeline, Pipeline, PipelineSpec

class Params(BaseParams):
    strength: float = 0.5

class InvertPipeline(FramePipeline):
    Params = Params
    def transform(self, frame, params):
        return frame

class Full(Pipeline):
    async def initialize(self, **params): ...
    async def put_video_frame(self, frame, request_id): ...
    async def get_processed_video_frame(self): ...
    async def update_params(self, **params): ...

class Lacking(Pipeline):
    async def initialize(self, **params): ...

class Outer:
    Inner = InvertPipeline

spec = PipelineSpec("renamed", "sample_pipeline:Full", "sample_pipeline:Params", {"strength": 0.25})
wrong_params = PipelineSpec(pipeline_cls=Full, initial_params={"strenght": 1})
second_params = PipelineSpec(pipeline_cls=InvertPipeline, params_cls=BaseParams)
number = 5
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path, monkeypatch):
    (tmp_path / "sample_pipeline.py").write_text(MODULE)
    (tmp_path / "needs_magic.py").write_text("import magic_that_is_missing\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("sample_pipeline", "needs_magic", "exits"):
        sys.modules.pop(name, None)


def test_a_class():
    """Name and parameters come from the class."""
    loaded = load_pipeline("sample_pipeline:InvertPipeline")
    assert loaded.name == "invert"
    assert issubclass(loaded.pipeline_cls, FramePipeline)
    assert loaded.params_cls is loaded.pipeline_cls.Params
    assert loaded.initial_params.strength == 0.5
    assert load_pipeline("sample_pipeline:Outer.Inner").pipeline_cls is loaded.pipeline_cls


def test_a_spec():
    """Name, classes as text, and initial parameters come from the spec."""
    loaded = load_pipeline("sample_pipeline:spec")
    assert loaded.name == "renamed"
    assert issubclass(loaded.pipeline_cls, Pipeline)
    assert loaded.initial_params.model_dump()["strength"] == 0.25


def test_a_spec_needs_little():
    """Everything but the class has a default, and no two specs share theirs."""
    assert PipelineSpec() == PipelineSpec()
    assert PipelineSpec().initial_params is not PipelineSpec().initial_params
    assert load_pipeline("sample_pipeline:Full").params_cls is BaseParams


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("sample_pipeline", "does not have the form package.module:Name"),
        (":Name", "does not have the form"),
        ("sample_pipeline:Inverse", "there is no 'Inverse' in sample_pipeline"),
        ("sample_pipeline:number", "leads to 5, which is no Pipeline class"),
        ("sample_pipeline:Params", "which is no Pipeline class"),
        (
            "sample_pipeline:Lacking",
            "Lacking lacks get_processed_video_frame, put_video_frame, update_params",
        ),
        ("sample_pipeline:second_params", "takes its parameters from InvertPipeline.Params"),
        ("no_such_module:Name", r"ModuleNotFoundError: No module named 'no_such_module' \(check the recipe"),
        ("needs_magic:Name", "importing needs_magic raised ModuleNotFoundError: .*magic_that_is_missing"),
        ("exits:Name", "importing exits raised SystemExit: 3"),
    ],
)
def test_what_is_wrong_is_named(entry_point, message):
    """The entry point, the fault, and where a repair may lie."""
    with pytest.raises(PipelineError, match=message):
        load_pipeline(entry_point)


def test_the_traceback_of_a_failed_import_is_kept():
    """As text, for the log."""
    with pytest.raises(PipelineError) as caught:
        load_pipeline("needs_magic:Name")
    assert "import magic_that_is_missing" in caught.value.remote_traceback


def test_wrong_initial_parameters_are_named():
    """They are checked before anything starts."""
    with pytest.raises(ParamsError, match="strenght"):
        load_pipeline("sample_pipeline:wrong_params")
