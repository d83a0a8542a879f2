"""kill -9 of the runner: its workers, their children and their memory are gone within a moment."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests._support.prefixes import make_prefix
from tests._support.workers import is_alive

pytestmark = pytest.mark.process

RUNNER = """
import asyncio, sys
from pathlib import Path
from tests._support.workers import running

async def main():
    async with running(Path(sys.argv[1]), sys.argv[2]) as driver:
        print("worker", driver.supervisor.info.pid, flush=True)
        if sys.argv[2] == "holds_lock":
            driver.give(0, 0)
            await asyncio.sleep(0.5)
        print(*driver.supervisor.log_tail, sep="\\n", flush=True)
        print("go", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def shared_memory() -> set[str]:
    return {entry.name for entry in Path("/dev/shm").iterdir()}


@pytest.mark.parametrize("name", ["echo", "stubborn", "holds_lock"])
def test_no_orphan_after_kill_9_of_the_runner(tmp_path: Path, name: str) -> None:
    before = shared_memory()
    prefix = make_prefix(tmp_path, [name])
    runner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUNNER), prefix, name],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout is not None
    said = ""
    for line in runner.stdout:
        said += line
        if line == "go\n":
            break
    pids = [int(number) for number in re.findall(r"(?:worker|child) (\d+)", said)]
    assert len(pids) == (2 if name == "stubborn" else 1)
    assert all(map(is_alive, pids))
    runner.send_signal(signal.SIGKILL)
    runner.wait(10)
    runner.stdout.close()
    deadline_s = time.monotonic() + 5
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline_s, "a process was left behind"
        time.sleep(0.02)
    assert shared_memory() <= before
