"""Makes the private interpreter environment in which pixiw runs. Run as a file, with the standard library.

`scripts/pixiw` calls it when `.pixiw/bootstrap` is missing or made from other requirements. The new one is
made beside the old one and renamed when it is complete; a lock keeps two from doing it at once.

In a repository that `ai-runner new` has made this file is the ``__main__`` of `scripts/pixiw.pyz`, which holds the
rest of pixiw as well and is unpacked into the environment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

_FETCHED = re.compile(
    r"\s*(?:Downloading|Processing|Using cached) (?:\S*/)?([A-Za-z0-9_.]+)-(\d[^-\s]*)-\S+\.whl"
)
_TAIL_LINES = 12


class BootstrapError(Exception):
    """What went wrong, as lines for a person."""


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def bootstrap(home: Path, requirements: Path, packed: Path | None = None) -> Path:
    """Make ``home/bootstrap``, unless another process has just done so.

    :param packed: archive of pixiw's own code, to be unpacked into it
    :returns: its interpreter
    :raises BootstrapError: no pip to install with, or the installation failed
    """
    target = home / "bootstrap"
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "bootstrap.lock"):
        for leftover in home.glob("bootstrap.new.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if not is_current(target, requirements, packed):
            _make(home / f"bootstrap.new.{os.getpid()}", target, requirements, packed)
    return target / "bin" / "python"


def is_current(target: Path, requirements: Path, packed: Path | None = None) -> bool:
    """Whether an environment is complete and made from these files: copies of them are written last."""
    copies = {"requirements.txt": requirements} | ({"pixiw.pyz": packed} if packed else {})
    try:
        same = all((target / name).read_bytes() == path.read_bytes() for name, path in copies.items())
    except OSError:
        return False
    return same and os.access(target / "bin" / "python", os.X_OK)


def _make(new: Path, target: Path, requirements: Path, packed: Path | None) -> None:
    started = time.monotonic()
    version = ".".join(map(str, sys.version_info[:3]))
    _say(f"pixiw: first use, making its own environment on Python {version} (once, about 190 MB)")
    try:
        pip = _pip_command(new)
        venv.EnvBuilder(with_pip=False, symlinks=True).create(new)
        _install(pip, requirements)
        if packed is not None:
            with zipfile.ZipFile(packed) as archive:
                archive.extractall(new / "src")
            shutil.copyfile(packed, new / "pixiw.pyz")
        shutil.copyfile(requirements, new / "requirements.txt")
        _swap(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    _say(f"pixiw: ready after {time.monotonic() - started:.1f} s")


def _swap(new: Path, target: Path) -> None:
    old = target.with_name(f"bootstrap.new.{os.getpid()}.old")
    with contextlib.suppress(FileNotFoundError):
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _pip_command(new: Path) -> list[str]:
    """A pip that installs into the new environment: the wheel that Python brings along, else the host's own.

    Running the wheel where it lies takes no time; installing pip first takes several seconds.
    """
    if (spec := importlib.util.find_spec("ensurepip")) is not None and spec.origin is not None:
        for wheel in sorted(Path(spec.origin).with_name("_bundled").glob("pip-*.whl")):
            return [str(new / "bin" / "python"), f"{wheel}/pip", "install"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--python", str(new / "bin" / "python"), "install"]
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    raise BootstrapError(
        f"{sys.executable} has neither ensurepip nor pip\n"
        f"  install it (Debian, Ubuntu: sudo apt install {name}-venv)\n"
        "  or name another interpreter: PIXIW_PYTHON=/path/to/python3 scripts/pixiw ..."
    )


def _install(pip: list[str], requirements: Path) -> None:
    options = ["--require-hashes", "--only-binary=:all:", "--no-compile", "--no-input", "--progress-bar=off"]
    options += [
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--requirement",
        str(requirements),
    ]
    environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*pip, *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    try:
        with _Ticker() as ticker:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                ticker.follow(line)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    if code != 0:
        told = [line for line in lines if line and not line.startswith("WARNING: Location")]
        raise BootstrapError("pip could not install what pixiw needs:\n  " + "\n  ".join(told[-_TAIL_LINES:]))


class _Ticker:
    """One line that moves on a terminal; on anything else a line for each package."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._text, self._started = "asking the package index", time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> _Ticker:
        if self._live:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._live:
            self._thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def follow(self, line: str) -> None:
        """Take note of a line of pip's."""
        found = _FETCHED.match(line)
        if found is not None:
            self._text = f"fetching {found[1]} {found[2]}"
        elif line.startswith("Installing collected"):
            self._text = "unpacking"
        else:
            return
        if not self._live:
            _say(f"pixiw: {self._text}")

    def _tick(self) -> None:
        while not self._stop.wait(0.2):
            sys.stderr.write(f"\r\x1b[Kpixiw: {self._text} … {time.monotonic() - self._started:.0f} s")
            sys.stderr.flush()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("pixiw: waiting for another pixiw that makes this environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _own_archive() -> Path | None:
    """The archive that this program was started from, if any."""
    place = Path(__file__).parent
    return place if place.is_file() else None


def main() -> int:
    """Make the environment for ``HOME REQUIREMENTS``; exit code 130 after Ctrl-C, 5 when something lacks."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bootstrap(Path(sys.argv[1]), Path(sys.argv[2]), _own_archive())
    except KeyboardInterrupt:
        _say("stopped; nothing is left half-made")
        return 130
    except (BootstrapError, OSError) as error:
        _say(f"error on this host: {error}")
        if getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
            _say("  name a folder that you may write to: PIXIW_HOME=/path/to/folder scripts/pixiw ...")
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
