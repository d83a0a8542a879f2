"""What is said about an installed pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CondaPackage:
    """The conda package that brought a pipeline.

    :param name: conda's name, which may differ from the distribution's
    :param version: as in the package
    :param build: build string
    :param channel: where it came from, as its installer wrote it down
    """

    name: str
    version: str
    build: str
    channel: str


@dataclass(frozen=True, slots=True)
class InstalledPipeline:
    """A pipeline that some package registers.

    :param name: name of the entry point, which is the pipeline's name
    :param entry_point: ``package.module:Name``, to be imported by the prefix's own interpreter only
    :param package: name of the Python distribution
    :param version: version of the Python distribution
    :param prefix: root of the environment
    :param environment: name of the environment
    :param conda: None when it was not installed as a conda package
    :param problem: why it cannot be started, or None
    :param source: folder to import it from, before what is installed: for one that is being written
    """

    name: str
    entry_point: str
    package: str
    version: str
    prefix: Path
    environment: str
    conda: CondaPackage | None = None
    problem: str | None = None
    source: Path | None = None

    @property
    def python(self) -> Path:
        """The interpreter that may import it."""
        return self.prefix / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in an environment that could not be read or cannot be used.

    :param prefix: root of the environment
    :param subject: file, folder, package or pipeline
    :param message: what is wrong with it
    """

    prefix: Path
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.prefix}: {self.subject}: {self.message}"
