"""What this host was measured to do, one small file for each installed pipeline, under the user's cache directory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..catalog import Generation, InstalledPipeline
from ..conformance import Speed, measure_speed
from ._workers import worker_spec

log = logging.getLogger(__name__)

BUSY = 0.25
"""Where others used more of the processors than this while a figure was taken, it says little about the host."""


class Speeds:
    """Figures that were measured here. One that was measured on another host, or of another version, is none.

    :param folder: None: ``ai-runner/speed`` under ``XDG_CACHE_HOME``, or under ``~/.cache``
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _cache_folder() / "ai-runner" / "speed"

    def of(self, item: InstalledPipeline) -> Speed | None:
        """Return what was measured of a pipeline as it is installed now."""
        found = self._read(item)
        return Speed(**found["speed"]) if found else None

    def age_s(self, item: InstalledPipeline) -> float:
        """Return how long ago that was; infinite where there is nothing."""
        found = self._read(item)
        return time.time() - found["time"] if found else float("inf")

    async def measure(self, item: InstalledPipeline) -> Speed:
        """Measure a pipeline and keep the figure. Takes about five seconds and what the pipeline takes to load.

        :raises RunnerError: it cannot be run
        """
        generation = Generation(item.prefix)
        try:
            speed = await measure_speed(worker_spec(item, folder=generation.folder))
        finally:
            generation.close()
        self._write(item, {"key": _key(item), "time": time.time(), "speed": asdict(speed)})
        return speed

    def _read(self, item: InstalledPipeline) -> dict[str, Any] | None:
        try:
            found = json.loads(self._file(item).read_text())
            usable = found["key"] == _key(item) and Speed(**found["speed"]) and found["time"] >= 0
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return dict(found) if usable else None

    def _write(self, item: InstalledPipeline, content: dict[str, Any]) -> None:
        file = self._file(item)
        draft = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(content))
            draft.replace(file)
        except OSError as error:
            log.warning("the speed of %s cannot be kept in %s: %s", item.name, file, error.strerror or error)

    def _file(self, item: InstalledPipeline) -> Path:
        place = hashlib.sha256(f"{item.name} {item.prefix}".encode()).hexdigest()[:16]
        return self._folder / f"{place}.json"


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _key(item: InstalledPipeline) -> dict[str, Any]:
    """All that makes a figure another one: the host, and what runs there."""
    version, build = (item.conda.version, item.conda.build) if item.conda else (item.version, None)
    return {
        "host": _host(),
        "pipeline": item.name,
        "entry_point": item.entry_point,
        "version": version,
        "build": build,
        "runner": __version__,
    }


def _host() -> str:
    """Name processor, usable cores and GPUs, from files that are quick to read."""
    models = [*_values(Path("/proc/cpuinfo"), "model name")[:1], platform.machine()]
    gpus = [_values(file, "Model") for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    return repr((models, len(os.sched_getaffinity(0)), gpus, hidden))


def _values(file: Path, name: str) -> list[str]:
    try:
        pairs = [line.partition(":") for line in file.read_text().splitlines()]
    except OSError:
        return []
    return [value.strip() for key, _, value in pairs if key.strip() == name]
