"""The runner never imports a pipeline, a device library or the solver; linters see only static imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

FORBIDDEN = {"torch", "cupy", "tensorrt", "diffusers", "cv2", "rattler", "rattler_build"}
FORBIDDEN |= {"ai_runner_noop", "ai_runner_effects"}


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "import ai_runner_base.server, ai_runner_base.cli.serve",
        "from ai_runner_base.catalog import Catalog; assert 'noop' in Catalog.scan().names",
        "import ai_runner_base.cli.run, ai_runner_base.cli.pipelines",
    ],
)
def test_the_runner_imports_no_pipeline_no_device_library_and_no_solver(statement: str) -> None:
    modules = _modules_after(statement)
    assert "ai_runner_base" in modules
    assert not FORBIDDEN & modules


def test_the_worker_program_knows_no_server_no_codec_and_no_solver() -> None:
    modules = _modules_after("import ai_runner_base.worker.__main__")
    assert "ai_runner_base" in modules
    assert not ({"aiohttp", "av", "click", "rich"} | FORBIDDEN) & modules


def test_the_front_door_is_lazy() -> None:
    assert not {"numpy", "pydantic", "av", "aiohttp"} & _modules_after("import ai_runner_base")
