"""Where in the author's own files an error arose."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import RunnerError

_PLACE = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.M)
_ERROR = re.compile(
    r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)?: .*|^[A-Za-z_][\w.]*Error$", re.M
)


def explain(error: RunnerError, folder: Path) -> str:
    """Say an error of a pipeline with the line of source it comes from: ``FILE:LINE: what`` and the line itself.

    :param error: its ``remote_traceback`` is read, where it has one
    :param folder: of the author; lines of other files are no help to him
    """
    trace = str(getattr(error, "remote_traceback", ""))
    places = [(Path(found["file"]), int(found["line"]), found.end()) for found in _PLACE.finditer(trace)]
    ours = [place for place in places if place[0].is_relative_to(folder)]
    if not ours:
        return str(error)
    file, line, end = ours[-1]
    what = _ERROR.search(trace, end)
    said = what[0] if what else error.message
    return f"{file.relative_to(folder)}:{line}: {said}\n    {_line(file, line)}".rstrip()


def _line(file: Path, number: int) -> str:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
