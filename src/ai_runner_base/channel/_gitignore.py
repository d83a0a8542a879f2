"""Glob rules of two kinds: ``.gitignore`` files, and the ``filter`` of a recipe's source.

What counts is what py-rattler-build 0.73 copies: it obeys ``.gitignore`` files inside the source folder (not
those above it, not git's global ones), and only where the folder lies in a git repository.
Source: gitignore(5); the globset crate, whose ``*`` also matches ``/``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """One line of a ``.gitignore``.

    :param base: folder of the file, relative to the source, ending in a slash; empty for the source itself
    :param negated: the line starts with ``!`` and takes a path in again
    :param only_folders: the line ends with a slash
    """

    base: str
    pattern: re.Pattern[str]
    negated: bool
    only_folders: bool

    def matches(self, path: str, is_folder: bool) -> bool:
        """Say whether the rule is about a path, which is relative to the source."""
        if not path.startswith(self.base) or (self.only_folders and not is_folder):
            return False
        return self.pattern.fullmatch(path[len(self.base) :]) is not None


def read_rules(file: Path, base: str) -> list[IgnoreRule]:
    """Read a ``.gitignore``; a missing or unreadable one has no rules."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [rule for line in lines if (rule := parse_rule(line, base)) is not None]


def parse_rule(line: str, base: str = "") -> IgnoreRule | None:
    """Parse one line; None for blanks and comments."""
    text = re.sub(r"(?<!\\) +$", "", line)
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text.removeprefix("!").replace("\\ ", " ")
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    body = _translate(text.removeprefix("/"), star="[^/]*", any_one="[^/]")
    return IgnoreRule(base, re.compile(body if anchored else f"(?:.*/)?{body}"), negated, only_folders)


def is_ignored(rules: Iterable[IgnoreRule], path: str, is_folder: bool) -> bool:
    """Apply rules in their order: the last one that is about a path decides."""
    ignored = False
    for rule in rules:
        if ignored == rule.negated and rule.matches(path, is_folder):
            ignored = not rule.negated
    return ignored


@functools.lru_cache(maxsize=256)
def filter_pattern(glob: str) -> re.Pattern[str]:
    """Compile one glob of a source filter: ``src``, ``src/**``, ``*.md``; a folder means all below it."""
    body = _translate(glob.rstrip("/"), star=".*", any_one=".")
    return re.compile(f"{body}(?:/.*)?")


def passes_filter(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Say whether a recipe's filter lets a file pass; an empty `include` lets all pass."""
    if include and not any(filter_pattern(glob).fullmatch(path) for glob in include):
        return False
    return not any(filter_pattern(glob).fullmatch(path) for glob in exclude)


def _translate(glob: str, star: str, any_one: str) -> str:
    """Turn a glob into a regular expression."""
    token = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]]*\]|\{[^{}]*\}|\\.|.", re.DOTALL)
    return "".join(_translate_token(part, star, any_one) for part in token.findall(glob))


def _translate_token(token: str, star: str, any_one: str) -> str:
    fixed = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": star, "?": any_one}
    if token in fixed:
        return fixed[token]
    if len(token) > 2 and token.startswith("["):
        inner = token[1:-1].replace("\\", "\\\\")
        return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    if len(token) > 1 and token.startswith("{"):
        parts = token[1:-1].split(",")
        return "(?:" + "|".join(_translate(part, star, any_one) for part in parts) + ")"
    return re.escape(token[1:] if len(token) == 2 and token[0] == "\\" else token)
