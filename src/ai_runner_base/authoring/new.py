"""`ai-runner new`: a repository for a pipeline, from the template in this package.

The template is a repository itself, of a pipeline called ``my-pipeline``: names are put in place of its names. A line
that begins with ``@cuda@`` or ``@cpu@``, and a file ``NAME.cuda.tmpl`` or ``NAME.cpu.tmpl``, is for that variant alone.
"""

from __future__ import annotations

import contextlib
import datetime
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import CallerError, HostError
from .wrapper import write_wrapper

_TEMPLATE = Path(__file__).with_name("template")
_SUFFIX = ".tmpl"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 64
_TAKEN = ("ai_runner_base", "ai_runner", "numpy", "pydantic", "pytest", "hatchling", "torch", "tests", "test")
"""Modules that the new repository's own environment or folder has."""
_ON_THIS_MACHINE = " # this machine's: name a public one before you share this repository"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a new repository is to be like.

    :param name: of the pipeline and of its package, as ``my-pipeline``
    :param channels: where ai-runner-base and everything else come from, in order of priority
    :param cuda: a package for hosts with a CUDA driver beside the one for all others
    :raises CallerError: the name cannot be one of a package, a module and a class at once
    """

    name: str
    channels: Sequence[str]
    cuda: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST_NAME:
            raise CallerError(
                f"{self.name!r} cannot be a pipeline's name: it takes lower-case letters, digits and single hyphens, "
                f"begins with a letter and has at most {_LONGEST_NAME} characters",
                hint=f"for example: {_suggestion(self.name)}",
            )
        if self.module in (*sys.stdlib_module_names, *keyword.kwlist, *_TAKEN):
            raise CallerError(
                f"{self.name!r} cannot be a pipeline's name: its module would be {self.module}, which is another one's",
                hint=f"for example: {self.name}-video",
            )

    @property
    def module(self) -> str:
        """Name of its Python package, as ``my_pipeline``."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """Name of its class, as ``MyPipeline``."""
        return "".join(part.capitalize() for part in self.name.split("-"))


def _suggestion(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    found = re.sub(r"[^a-z0-9]+", "-", spaced).strip("-0123456789")[:_LONGEST_NAME].strip("-")
    return found or "my-pipeline"


def create(folder: Path, answers: Answers) -> list[Path]:
    """Write the repository; all of it or nothing.

    :param folder: does not exist yet, or is empty but for a ``.git``
    :returns: the files, relative to it
    :raises CallerError: it holds something already
    :raises HostError: it cannot be written
    """
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= {".git"}):
        raise CallerError(f"{folder} exists and is not empty", hint="name another folder with --into")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _beside(folder) as made:
            _write(made, answers)
            files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
            _move(made, folder)
    except OSError as error:
        raise HostError(f"cannot write {folder}: {error.strerror or error}") from error
    return files


def _move(made: Path, folder: Path) -> None:
    if not folder.exists():
        made.rename(folder)
        return
    for path in list(made.iterdir()):  # somebody may stand in the empty folder
        path.rename(folder / path.name)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    made.chmod(0o777 & ~_umask())
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(folder: Path, answers: Answers) -> None:
    words = _words(answers)
    for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        place = _place(source.relative_to(_TEMPLATE), answers)
        if place is not None:
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(
                _render(source.read_text(encoding="utf-8"), words, cuda=answers.cuda), encoding="utf-8"
            )
    write_wrapper(folder / "scripts")


def _place(source: Path, answers: Answers) -> Path | None:
    """Where a file of the template goes; None if it is for the other variant."""
    text = str(source).removesuffix(_SUFFIX)
    stem, _, variant = text.rpartition(".")
    if variant in ("cuda", "cpu"):
        if (variant == "cuda") is not answers.cuda:
            return None
        text = stem
    return Path(text.replace("dot.", ".").replace("my_pipeline", answers.module))


def _words(answers: Answers) -> dict[str, str]:
    major, minor = __version__.split(".")[:2]
    local = any(channel.startswith("file://") for channel in answers.channels)
    return {
        "my-pipeline": answers.name,
        "my_pipeline": answers.module,
        "MyPipeline": answers.class_name,
        "@base@": f">={major}.{minor},<{major}.{int(minor) + 1}",
        "@channels@": ", ".join(f'"{channel}"' for channel in answers.channels),
        "@channels_note@": _ON_THIS_MACHINE if local else "",
        "@summary@": f"The pipeline {answers.name}",
        "@year@": str(datetime.datetime.now(tz=datetime.UTC).year),
    }


def _render(text: str, words: Mapping[str, str], *, cuda: bool) -> str:
    ours, others = ("@cuda@", "@cpu@") if cuda else ("@cpu@", "@cuda@")
    lines = [
        line.removeprefix(ours) for line in text.splitlines(keepends=True) if not line.startswith(others)
    ]
    any_word = re.compile("|".join(map(re.escape, words)))
    return any_word.sub(lambda found: words[found[0]], "".join(lines))
