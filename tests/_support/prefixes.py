"""Cheap stand-ins for conda environments: a virtual environment that borrows this one's packages.

`make_prefix` installs the folders under ``tests/pipelines`` (or any others) by a ``.pth`` file and a ``.dist-info``
written by hand, so that they are found as installed packages are: by ``python -I`` and by package metadata.
"""

from __future__ import annotations

import site
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ai_runner_base

PIPELINES = Path(__file__).parents[1] / "pipelines"
SOURCE = Path(ai_runner_base.__file__).parents[1]


@dataclass(frozen=True)
class SamplePipeline:
    """What is installed, and how it is registered.

    :param name: entry point's name in the group ``ai_runner.pipeline``
    :param entry_point: ``module:attribute``
    :param folder: put on ``sys.path``
    """

    name: str
    entry_point: str
    folder: Path
    version: str = "1.0"

    @classmethod
    def named(cls, name: str) -> SamplePipeline:
        """One of ``tests/pipelines``: folder ``NAME`` with ``sample_NAME.py`` and a ``Sample`` inside."""
        return cls(name, f"sample_{name}:Sample", PIPELINES / name)


def make_prefix(
    tmp_path: Path,
    pipelines: Iterable[str | SamplePipeline] = (),
    extra_paths: Iterable[Path] = (),
    *,
    name: str = "prefix",
    runner_base: bool = True,
) -> Path:
    """Make an environment with ``bin/python``, in about 50 ms.

    :param tmp_path: the prefix is ``tmp_path / name``
    :param pipelines: names of ``tests/pipelines``, or others in full
    :param extra_paths: more folders for ``sys.path``
    :param runner_base: whether ai-runner-base and this interpreter's packages are there
    """
    prefix = tmp_path / name
    venv.EnvBuilder(with_pip=False, symlinks=True).create(prefix)
    packages = prefix / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    chosen = [SamplePipeline.named(p) if isinstance(p, str) else p for p in pipelines]
    borrowed = [SOURCE, *map(Path, site.getsitepackages())] if runner_base else []
    paths = [*(pipeline.folder for pipeline in chosen), *extra_paths, *borrowed]
    (packages / "_borrowed.pth").write_text("".join(f"{path}\n" for path in paths))
    for pipeline in chosen:
        _write_metadata(packages, pipeline)
    return prefix


def _write_metadata(packages: Path, pipeline: SamplePipeline) -> None:
    folder = packages / f"sample_{pipeline.name}-{pipeline.version}.dist-info"
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: sample-{pipeline.name}\nVersion: {pipeline.version}\n"
    (folder / "METADATA").write_text(metadata)
    (folder / "entry_points.txt").write_text(
        f"[ai_runner.pipeline]\n{pipeline.name} = {pipeline.entry_point}\n"
    )
