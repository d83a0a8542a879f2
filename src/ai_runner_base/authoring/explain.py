"""Where in the author's own files an error arose."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import RunnerError

_PLACE = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.M)
_ERROR = re.compile(
    r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)?: .*|^[A-Za-z_][\w.]*Error$", re.M
)
_MOST_LINES = 6
"""Of one error; pydantic's have a line for the field and one for its rule."""


def explain(error: RunnerError, folder: Path) -> str:
    """Say an error of a pipeline with the line of source it comes from: ``FILE:LINE: what`` and the line itself.

    :param error: its ``remote_traceback`` is read, where it has one
    :param folder: of the author; lines of other files are no help to him
    """
    trace = str(getattr(error, "remote_traceback", ""))
    places = [(Path(found["file"]), int(found["line"]), found.end()) for found in _PLACE.finditer(trace)]
    ours = [place for place in places if _is_own(place[0], folder)]
    if not ours:
        return str(error)
    file, line, end = ours[-1]
    what = _ERROR.search(trace, end)
    said = _whole(trace, what) if what else error.message
    return f"{file.relative_to(folder)}:{line}: {said}\n    {_line(file, line)}".rstrip()


def _is_own(file: Path, folder: Path) -> bool:
    """Whether the author wrote it: environments lie in his folder, too (``.pixi``, ``.venv``)."""
    if not file.is_relative_to(folder):
        return False
    return not any(part.startswith(".") or part == "site-packages" for part in file.relative_to(folder).parts)


def _whole(trace: str, error: re.Match[str]) -> str:
    """All lines of an error, up to the next traceback."""
    text, _, _ = trace[error.start() :].partition("\n\n")
    return "\n    ".join(line.strip() for line in text.rstrip().splitlines()[:_MOST_LINES])


def _line(file: Path, number: int) -> str:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
