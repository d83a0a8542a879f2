"""A pipeline's own interpreter is asked what the pipeline is; nothing that it does spoils the answer."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from tests._support.prefixes import SamplePipeline, make_prefix

from ai_runner_base import __version__
from ai_runner_base.catalog import InstalledPipeline, describe
from ai_runner_base.errors import HostError, PipelineError

pytestmark = pytest.mark.process

SAMPLES = {
    "plain": """
        import sys
        from ai_runner_base import BaseParams, FramePipeline
        from pydantic import Field
        print("stray text on standard output")
        class Params(BaseParams):
            strength: float = Field(0.5, ge=0, le=1, description="How much")
            def get_output_resolution(self):
                return 2 * self.width, 2 * self.height
        class Sample(FramePipeline):
            Params = Params
            def transform(self, frame, params):
                return frame
            @classmethod
            def prepare_models(cls):
                raise AssertionError("describing does not prepare")
        """,
    "exits": "import os; print('last words', flush=True); os._exit(7)",
    "missing": "import a_module_that_is_not_there",
    "hangs": "import subprocess, time; subprocess.Popen(['sleep', '77']); time.sleep(60)",
    "lingers": """
        import threading, time
        from ai_runner_base import FramePipeline
        threading.Thread(target=time.sleep, args=(60,)).start()
        class Sample(FramePipeline):
            def transform(self, frame, params):
                return frame
        """,
    "closes_stdout": """
        import os
        from ai_runner_base import FramePipeline
        os.close(1)
        class Sample(FramePipeline):
            def transform(self, frame, params):
                return frame
        """,
}


@pytest.fixture
def installed(tmp_path, request):
    """A pipeline in an environment that borrows this one's packages."""
    name = request.param
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / f"sample_{name}.py").write_text(textwrap.dedent(SAMPLES[name]))
    prefix = make_prefix(tmp_path, [SamplePipeline(name, f"sample_{name}:Sample", folder)])
    return InstalledPipeline(name, f"sample_{name}:Sample", "sample", "1.0", prefix, "sample")


@pytest.mark.parametrize("installed", ["plain"], indirect=True)
def test_what_is_described(installed):
    """Schema, defaults, output size, versions; what the pipeline prints does not get in the way."""
    described = describe(installed, os.environ, timeout_s=60)
    assert described["ok"] is True
    assert (described["name"], described["kind"]) == ("sample", "frame")
    assert described["params_schema"]["properties"]["strength"]["description"] == "How much"
    assert described["default_params"] == {
        "width": 512,
        "height": 512,
        "show_reloading_frame": True,
        "strength": 0.5,
    }
    assert described["output_resolution"] == [1024, 1024]
    assert described["prepares_models"] is True
    assert described["versions"]["ai_runner_base"] == __version__


@pytest.mark.parametrize("installed", ["lingers", "closes_stdout"], indirect=True)
def test_odd_behaviour_does_not_matter(installed):
    """A thread that goes on and a closed descriptor delay and spoil nothing."""
    started = time.monotonic()
    assert describe(installed, os.environ, timeout_s=60)["prepares_models"] is False
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("installed", ["missing"], indirect=True)
def test_a_failed_import_is_told(installed):
    """With the name of what is missing, and the traceback as text."""
    with pytest.raises(PipelineError, match="a_module_that_is_not_there") as caught:
        describe(installed, os.environ, timeout_s=60)
    assert "Traceback" in caught.value.remote_traceback


@pytest.mark.parametrize("installed", ["exits"], indirect=True)
def test_an_interpreter_that_ends_is_told(installed):
    """With its last words."""
    with pytest.raises(PipelineError, match="ended its interpreter") as caught:
        describe(installed, os.environ, timeout_s=60)
    assert "last words" in caught.value.remote_traceback


@pytest.mark.parametrize("installed", ["hangs"], indirect=True)
def test_one_that_hangs_is_ended_with_all_it_started(installed):
    """At the deadline, and nothing stays behind."""
    with pytest.raises(PipelineError, match="did not describe itself within 3 s"):
        describe(installed, os.environ, timeout_s=3)
    deadline = time.monotonic() + 5
    while any(_is_left(process) for process in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline, "a child of the pipeline is still there"
        time.sleep(0.05)


def _is_left(process):
    return process.info["cmdline"] == ["sleep", "77"] and process.status() != psutil.STATUS_ZOMBIE


def test_a_missing_interpreter_is_the_hosts_fault(tmp_path):
    """An environment that was removed in the meantime."""
    gone = InstalledPipeline("x", "x:X", "x", "1", tmp_path / "gone", "gone")
    with pytest.raises(HostError, match=r"cannot start .*gone/bin/python"):
        describe(gone, os.environ, timeout_s=5)


def test_the_program_says_how_it_is_used():
    """Without an argument it exits with 2 and its usage."""
    command = [sys.executable, "-I", "-m", "ai_runner_base.pipeline.describe"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(sys.prefix))
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -I -m ai_runner_base.pipeline.describe")
