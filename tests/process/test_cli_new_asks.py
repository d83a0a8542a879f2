"""`ai-runner new` on a terminal asks its one question; elsewhere it never waits for an answer."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-I", "-m", "ai_runner_base", "new", "soft-focus"]
LIMIT_S = 30


@pytest.mark.parametrize(("answer", "cuda"), [("y", True), ("", False)])
def test_the_answer_on_a_terminal_decides(tmp_path: Path, answer: str, cuda: bool) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(COMMAND, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.write(ours, f"{answer}\n".encode())
        assert process.wait(LIMIT_S) == 0
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "Does it run on NVIDIA GPUs?" in said
    assert (tmp_path / "soft-focus" / "variants.yaml").exists() is cuda


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    done = subprocess.run(
        COMMAND, cwd=tmp_path, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (done.returncode, "NVIDIA" in done.stdout + done.stderr) == (0, False)
    assert not (tmp_path / "soft-focus" / "variants.yaml").exists()
