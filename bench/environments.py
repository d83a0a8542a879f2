"""What an environment costs, cold and warm, and what two of them share; uv and pip do the nearest thing beside.

    python bench/environments.py [PROJECT ...]

All three install the same wheels from a folder, without network, and compile nothing by themselves but pixiw, whose
environments come compiled. pixiw takes them as conda packages, from a mirror that is made of them before anything is
measured. Cold: nothing was unpacked before. Warm: a second environment of the same packages.
Shared: bytes of the second one that are hard links to the first one's files, or to a cache that both use.
uv is measured where it is on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ai_runner_base.channel import HostPython, Want, mirror

REPOSITORY = Path(__file__).resolve().parents[1]
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ai_runner_base.cli.pixiw import main; main()"
PROJECTS = ["numpy", "pydantic", "rich", "aiohttp", "av"]
MANIFEST = """
[dependencies]
python = "*"
{specs}
[environments]
first = []
second = []
"""
Make = Callable[[str], Path]
"""Makes an environment of a name and gives its folder."""


def run(*command: str | Path, cwd: Path, **env: str) -> None:
    """Run a command, quietly unless it fails."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def shared_bytes(first: Path, second: Path) -> tuple[int, int]:
    """Bytes of the second folder, and those of them that take no disk of their own."""
    known = {path.lstat().st_ino for path in first.rglob("*") if path.is_file() and not path.is_symlink()}
    files = [path.lstat() for path in second.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(f.st_size for f in files), sum(f.st_size for f in files if f.st_ino in known)


def pixiw_maker(folder: Path, url: str) -> Make:
    """By pixiw: solve, verify, link, compile."""
    folder.mkdir()
    specs = "\n".join(f'{name} = "*"' for name in _specs)
    head = (REPOSITORY / "pixi.toml").read_text().partition("# Versions and places")[0]
    (folder / "pixi.toml").write_text(head + MANIFEST.format(specs=specs))
    env = {"PIXIW_CHANNELS": url, "PIXIW_HOME": str(folder / "home")}

    def make(name: str) -> Path:
        run(
            sys.executable,
            "-I",
            "-c",
            START,
            REPOSITORY / "src",
            "-q",
            "install",
            "-e",
            name,
            cwd=folder,
            **env,
        )
        return (folder / "home/envs" / name).resolve()

    return make


def uv_maker(folder: Path, wheels: Path) -> Make:
    """By uv: it hard-links out of its cache, too, and compiles nothing."""
    folder.mkdir()
    env = {"UV_CACHE_DIR": str(folder / "cache"), "UV_LINK_MODE": "hardlink", "UV_NO_CONFIG": "1"}

    def make(name: str) -> Path:
        run("uv", "venv", "--python", sys.executable, name, cwd=folder, **env)
        words = ["--offline", "--no-index", "--find-links", wheels, "--python", folder / name / "bin/python"]
        run("uv", "pip", "install", *words, *_specs, cwd=folder, **env)
        return folder / name

    return make


def pip_maker(folder: Path, wheels: Path) -> Make:
    """By venv and pip, which unpacks every wheel again."""
    folder.mkdir()

    def make(name: str) -> Path:
        run(sys.executable, "-m", "venv", "--without-pip", name, cwd=folder)
        words = ["--no-index", "--find-links", wheels, "--no-compile", "--disable-pip-version-check"]
        python = folder / name / "bin/python"
        run(sys.executable, "-m", "pip", "--python", python, "install", *words, *_specs, cwd=folder)
        return folder / name

    return make


def measure(label: str, make: Make) -> None:
    """Make two environments and print a line."""
    started_s = time.perf_counter()
    first = make("first")
    cold_s, started_s = time.perf_counter() - started_s, time.perf_counter()
    second = make("second")
    warm_s = time.perf_counter() - started_s
    size, shared = shared_bytes(first, second)
    print(
        f"{label:<8}{cold_s:>8.2f} s{warm_s:>8.2f} s{size / 1e6:>10.1f} MB{shared / 1e6:>10.1f} MB{shared / size:>7.0%}"
    )


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-environments-") as name:
        folder = Path(name)
        wheels = folder / "wheels"
        run(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--only-binary=:all:",
            "-d",
            wheels,
            "pip",
            *_specs,
            cwd=folder,
        )
        os.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
        wants = [Want(spec, ("bench",)) for spec in _specs]
        url = mirror(wants, folder / "mirror", HostPython.current()).url
        print(
            f"{len(list(wheels.glob('*.whl')))} wheels, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
        )
        print(f"{'':8}{'cold':>10}{'warm':>10}{'size':>13}{'shared':>13}")
        measure("pixiw", pixiw_maker(folder / "by-pixiw", url))
        if shutil.which("uv"):
            measure("uv", uv_maker(folder / "by-uv", wheels))
        else:
            print("uv      not installed: pip install uv")
        measure("pip", pip_maker(folder / "by-pip", wheels))
    sys.stdout.flush()
    os._exit(0)  # py-rattler can crash while the interpreter ends


_specs = sys.argv[1:] or PROJECTS

if __name__ == "__main__":
    main()
