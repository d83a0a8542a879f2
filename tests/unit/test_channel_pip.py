"""What pip prints, as steps for a display and as causes for an error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_runner_base.channel._pip import Pip, PipError, _Display
from ai_runner_base.channel.mirroring import _version_with_build

pytestmark = pytest.mark.unit


class Recorder:
    """A reporter that writes down steps: (stage, name, total), bytes, and how they ended."""

    def __init__(self) -> None:
        self.steps: list[list[object]] = []
        self.notes: list[str] = []

    @contextlib.contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Recorder]:
        self.steps.append([stage, name, total_bytes, 0])
        try:
            yield self
        except BaseException:
            self.steps[-1].append("failed")
            raise

    def advance(self, size_bytes: int) -> None:
        self.steps[-1][3] += size_bytes  # type: ignore[operator]  # an int by construction

    def note(self, message: str) -> None:
        self.notes.append(message)

    def detail(self, message: str) -> None:
        self.notes.append(message)


class Finished:
    """A process that has printed something and ended."""

    def __init__(self, text: str, code: int = 0) -> None:
        self.stdout, self._code = io.StringIO(text), code

    def wait(self) -> int:
        return self._code


def follow(text: str, code: int = 0) -> Recorder:
    recorder = Recorder()
    _Display(recorder).follow(Finished(text, code))  # type: ignore[arg-type]  # what it reads of a process
    return recorder


def test_downloads_become_steps_with_bytes(tmp_path: Path) -> None:
    local = tmp_path / "local-2.0-py3-none-any.whl"
    local.write_bytes(b"x" * 500)
    recorder = follow(
        "Collecting numpy>=1.26\n"
        "  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (6 kB)\n"
        "  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (16.9 MB)\n"
        "Progress 0 of 16918164\nProgress 262144 of 16918164\nProgress 16918164 of 16918164\n"
        f"Processing {local} (from numpy)\n"
        "Saved ./numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl\n"
    )
    assert recorder.steps == [
        ["fetch", "numpy 2.4.6", 16_900_000, 16_918_164],
        ["fetch", "local 2.0", 500, 500],
    ]
    assert "Collecting numpy>=1.26" in recorder.notes


def test_a_failure_keeps_the_last_lines() -> None:
    with pytest.raises(PipError) as caught:
        follow("\n".join(f"line {n}" for n in range(40)), code=1)
    assert caught.value.log[-1] == "line 39"
    assert len(caught.value.log) == 15


def test_a_missing_project_is_recognised() -> None:
    error = PipError(
        [
            "ERROR: Could not find a version that satisfies the requirement nope>=2 (from sample) (from versions: 1.0)",
            "ERROR: No matching distribution found for nope>=2",
        ]
    )
    assert error.not_found == "nope>=2 (from sample)"
    assert not error.is_conflict
    assert not error.is_unreachable


def test_a_conflict_and_a_dead_network_are_told_apart() -> None:
    assert PipError(["ERROR: ResolutionImpossible: for help visit ..."]).is_conflict
    assert PipError(
        ["WARNING: Retrying (...) after connection broken by 'NewConnectionError(...)'"]
    ).is_unreachable
    assert PipError(["something else"]).not_found is None


@pytest.mark.parametrize(
    ("build", "requirement", "chosen"),
    [
        ("cpu*", "torch>=2.6", "2.13.0+cpu"),
        ("cuda*", "torch>=2.6", "2.12.0+cu128"),
        ("cpu*", "torch>=2.14", None),
        ("cpu*", "torch<2.13", "2.12.0+cpu"),
        ("rocm*", "torch", None),
    ],
)
def test_the_newest_version_with_a_wanted_build_is_chosen(
    build: str, requirement: str, chosen: str | None
) -> None:
    available = ["2.15.0", "2.13.0+cpu", "2.13.0", "2.12.0+cu128", "2.12.0+cpu", "junk"]
    assert _version_with_build(available, requirement, build) == chosen


def test_a_pip_that_cannot_be_started_is_the_hosts_fault(tmp_path: Path) -> None:
    pip = Pip((str(tmp_path / "missing"),), reports_bytes=True)
    with pytest.raises(Exception, match="cannot be started") as caught:
        pip.versions("torch")
    assert type(caught.value).__name__ == "HostError"
