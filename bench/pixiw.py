"""What pixiw adds to a task in an environment that is ready, beside the limit measured in the same run.

    python bench/pixiw.py [RUNS]

The limit is an interpreter that does nothing but replace itself by the same program. The workspace is a tiny one in a
temporary folder, with as many source files to look at as this repository has.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ai_runner_base.cli.pixiw import main; main()"
EXEC = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


def median_s(command: list[str], runs: int, cwd: Path, env: dict[str, str]) -> float:
    """Median wall time of a command."""
    times = []
    for _ in range(runs):
        started_s = time.perf_counter()
        subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)
        times.append(time.perf_counter() - started_s)
    return statistics.median(times)


def make_workspace(folder: Path) -> dict[str, str]:
    """A workspace with one environment of one package, whose activation script counts as a source."""
    sys.path.insert(0, str(REPOSITORY))
    from tests._support.tinychannel import program, write_channel

    url = write_channel(folder / "channel", program("tool"))
    shutil.copytree(REPOSITORY / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "activate.sh").touch()
    (folder / "pixi.toml").write_text(
        (REPOSITORY / "pixi.toml").read_text().partition("# Versions and places")[0]
        + '[dependencies]\ntool = "*"\n[activation]\nscripts = ["activate.sh"]\n[tasks]\nt = "true"\n'
    )
    return {**os.environ, "PIXIW_CHANNELS": url, "PIXIW_HOME": str(folder / "home")}


def main() -> None:
    """Print the figures."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = make_workspace(folder)
        pixiw = [sys.executable, "-I", "-c", START, str(REPOSITORY / "src"), "-q"]
        started_s = time.perf_counter()
        subprocess.run([*pixiw, "run", "t"], cwd=folder, env=env, check=True)
        first_s = time.perf_counter() - started_s
        limit_s = median_s([sys.executable, "-I", "-c", EXEC, "/bin/true"], runs, folder, env)
        task_s = median_s([*pixiw, "run", "t"], runs, folder, env)
        program_s = median_s([*pixiw, "run", "tool"], runs, folder, env)
        listing_s = median_s([*pixiw, "task", "list"], runs, folder, env)
    print(f"medians of {runs} runs, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    print(f"{'interpreter that replaces itself (limit)':<45}{limit_s * 1e3:8.0f} ms")
    print(f"{'pixiw run TASK, nothing to do':<45}{task_s * 1e3:8.0f} ms   (aim: under 300)")
    print(f"{'pixiw run PROGRAM, nothing to do':<45}{program_s * 1e3:8.0f} ms")
    print(f"{'pixiw task list':<45}{listing_s * 1e3:8.0f} ms")
    print(f"{'first run: solve, verify, link one package':<45}{first_s * 1e3:8.0f} ms")


if __name__ == "__main__":
    main()
