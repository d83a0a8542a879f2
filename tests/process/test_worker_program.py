"""The worker as a program: what it needs, what it refuses, and preparing models."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests._support.prefixes import make_prefix

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prefix(tmp_path_factory.mktemp("program"), ["prepares", "raises_on_load"])


def run(prefix: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [prefix / "bin" / "python", "-I", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_prepare_shows_progress_and_says_when_it_is_done(prefix: Path) -> None:
    done = run(prefix, "-m", "ai_runner_base.worker", "--prepare", "sample_prepares:Sample")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[:2] == ["50 %", "INFO prepares: compiled"]
    assert lines[2].startswith("prepared sample in ")


@pytest.mark.parametrize(
    ("entry_point", "complaint"),
    [
        ("sample_prepares:Broken", "prepare raised OSError: no space left"),
        ("sample_prepares:Absent", "there is no 'Absent'"),
        ("nobody_has_this:Sample", "No module named 'nobody_has_this'"),
    ],
)
def test_prepare_that_fails_says_why(prefix: Path, entry_point: str, complaint: str) -> None:
    done = run(prefix, "-m", "ai_runner_base.worker", "--prepare", entry_point)
    assert done.returncode == 3
    assert complaint in done.stderr


def test_a_pipeline_without_anything_to_prepare_is_prepared(prefix: Path) -> None:
    done = run(prefix, "-m", "ai_runner_base.worker", "--prepare", "sample_raises_on_load:Sample")
    assert done.returncode == 0


def test_nobody_starts_it_by_hand(prefix: Path) -> None:
    done = run(prefix, "-m", "ai_runner_base.worker", "--control-fd", "3")
    assert done.returncode == 2
    assert "started by the runner" in done.stderr


def test_the_program_needs_numpy_and_pydantic_only(prefix: Path) -> None:
    """What else it imported would have to be in every pipeline's environment, and would slow each restart."""
    code = (
        "import ai_runner_base.worker._worker, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    imported = set(run(prefix, "-c", code).stdout.split())
    assert {"numpy", "pydantic"} <= imported
    assert not imported & {
        "aiohttp",
        "av",
        "click",
        "rich",
        "psutil",
        "rattler",
        "torch",
        "PIL",
        "multiprocessing",
    }
