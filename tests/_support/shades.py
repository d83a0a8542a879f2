"""A channel with a real pipeline in two versions: `shade` paints every frame in one grey."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

from tests._support.prefixes import SOURCE
from tests._support.tinychannel import TinyPackage, host_python, write_channel

GREYS = {"1.0": 40, "2.0": 200}
CODE = """
import numpy as np
from ai_runner_base import BaseParams, FramePipeline

class Shade(FramePipeline):
    Params = BaseParams
    def transform(self, frame, params):
        from shade_grey import GREY  # late: must come from the version that runs
        return np.full_like(frame.array, GREY)
"""
LIMIT_S = 90


def borrowed_paths() -> str:
    """Content of a path file: the runner's source, and what it needs, from this interpreter."""
    return "".join(f"{path}\n" for path in (SOURCE, *site.getsitepackages()))


def base() -> TinyPackage:
    """A package ai-runner-base that borrows this interpreter's, as `make_prefix` does."""
    files = {"site-packages/_borrowed.pth": borrowed_paths()}
    return TinyPackage("ai-runner-base", "0.1.0", files=files, depends=("python",), noarch="python")


def shade(version: str, code: str = CODE, *, build: str = "0") -> TinyPackage:
    """The pipeline in one version."""
    info = f"site-packages/shade-{version}.dist-info"
    files = {
        "site-packages/shade.py": code,
        "site-packages/shade_grey.py": f"GREY = {GREYS.get(version, 0)}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: shade\nVersion: {version}\n",
        f"{info}/entry_points.txt": "[ai_runner.pipeline]\nshade = shade:Shade\n",
    }
    needs = ("python", "ai-runner-base")
    return TinyPackage("shade", version, build, files=files, depends=needs, noarch="python")


def shade_channel(folder: Path, *versions: str) -> Path:
    """A channel with all that these versions need; its folder."""
    write_channel(folder, host_python(), base(), *map(shade, versions))
    return folder


def ai_runner(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `ai-runner` to its end."""
    command = [sys.executable, "-m", "ai_runner_base", *map(str, words)]
    return subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
