"""What a mirror costs: the closure of the runner, cold, warm, and for an environment that it already satisfies.

Beside them the limits, measured in the same run:

- fetching: pip's own download of the same requirements, with nothing after it;
- converting: unzipping the same wheels and compressing the bytes at the same level, in one thread, writing nothing;
- doing nothing: reading the state file.

    python bench/mirror.py [--spec numpy --spec ...] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ai_runner_base.channel import HostPython, Step, Want, mirror
from ai_runner_base.channel._pip import Pip
from ai_runner_base.channel._store import ChannelDir
from ai_runner_base.channel.conda_writer import ZSTD_LEVEL, zstd

DEFAULT = ["aiohttp", "av", "click", "numpy", "psutil", "pydantic", "rich", "py-opencv", "hatchling"]
REPEATS = 20


class Stopwatch:
    """A reporter that adds up seconds by stage; steps of two threads at once both count."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def step(self, stage: str, name: str, total_bytes: int | None = None) -> Iterator[Step]:
        started = time.perf_counter()

        yield self
        with self._lock:
            self.seconds[stage] += time.perf_counter() - started

    def advance(self, size_bytes: int) -> None:
        pass

    def note(self, message: str) -> None:
        print(message)

    def detail(self, message: str) -> None:
        pass


def timed(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def pack_in_memory(wheels: list[Path]) -> tuple[float, int]:
    """Unzip and compress, in one thread; gives seconds and unpacked bytes."""
    started, total = time.perf_counter(), 0
    for path in wheels:
        compressor = zstd.ZstdCompressor(level=ZSTD_LEVEL)
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                data = archive.read(name)
                total += len(data)
                compressor.compress(data)
        compressor.flush()
    return time.perf_counter() - started, total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spec", action="append", help="match spec to mirror; may be repeated")
    parser.add_argument("--keep", type=Path, help="leave the channel in this folder")
    options = parser.parse_args()
    python = HostPython.current()
    specs = options.spec or DEFAULT
    wants = [Want(spec, ("bench",)) for spec in specs]
    with tempfile.TemporaryDirectory(prefix="bench-mirror-") as folder:
        channel = options.keep or Path(folder) / "mirror"
        watch = Stopwatch()
        started = time.perf_counter()
        done = mirror(wants, channel, python, watch)
        cold = time.perf_counter() - started
        again = statistics.median(timed(lambda: mirror(wants, channel, python)) for _ in range(REPEATS))
        state = statistics.median(timed(ChannelDir(channel).read_state) for _ in range(REPEATS))
        subset = timed(lambda: mirror(wants[: len(wants) // 2], channel, python))
        pip = Pip.find(python, Path(folder) / "tools")
        names = sorted({path.stem.rsplit("-", 2)[0] for path in channel.glob("*/*.conda")})
        target = Path(folder) / "wheels" / "files"
        fetch = timed(lambda: pip.download(_requirements(wants, python), (), target, Stopwatch()))
        limit, unpacked = pack_in_memory(sorted(target.glob("*.whl")))
        print(
            f"{len(names)} packages, {done.fetched_bytes / 1e6:.1f} MB of wheels, {unpacked / 1e6:.1f} MB unpacked"
        )
        print(f"{'':34}{'measured':>12}{'limit':>12}")
        print(
            f"{'resolve and fetch':34}{watch.seconds['resolve']:>10.2f} s{fetch:>10.2f} s   pip download alone, warm"
        )
        busy = watch.seconds["convert"]
        print(
            f"{'convert, sum of two threads':34}{busy:>10.2f} s{limit:>10.2f} s   unzip and zstd in one thread"
        )
        print(f"{'index':34}{watch.seconds['index']:>10.2f} s")
        print(f"{'cold, in all':34}{cold:>10.2f} s")
        print(f"{'the same again':34}{again * 1e3:>9.2f} ms{state * 1e3:>9.2f} ms   reading the state file")
        print(f"{'another set that it satisfies':34}{subset * 1e3:>9.2f} ms")
    sys.stdout.flush()
    os._exit(0)  # py-rattler 0.28 can crash while the interpreter ends


def _requirements(wants: list[Want], python: HostPython) -> list[str]:
    from ai_runner_base.channel._asks import translate

    return sorted(
        {ask.requirement for asks in translate(wants, python).values() for ask in asks if ask.requirement}
    )


if __name__ == "__main__":
    main()
