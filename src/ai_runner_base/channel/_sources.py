"""Which files decide what a recipe gives, and whether they have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ._gitignore import IgnoreRule, is_ignored, passes_filter, read_rules

# Made by tools while they run; no build takes anything from them.
_CACHES = frozenset(
    {".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".pixi", ".pixiw"}
)


@dataclass(frozen=True, slots=True)
class Source:
    """One folder or file that a recipe takes its sources from.

    :param root: absolute path
    :param include: globs relative to `root`; empty for everything
    :param exclude: globs that are left out again
    :param gitignore: obey ``.gitignore`` files, where the folder is in a git repository
    """

    root: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = True

    def to_json(self) -> dict[str, Any]:
        """Give a form for the state file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Source:
        """Read what `to_json` gave."""
        return cls(data["root"], tuple(data["include"]), tuple(data["exclude"]), data["gitignore"])

    def files(self) -> Iterator[tuple[str, os.DirEntry[str] | Path]]:
        """Give (path relative to `root`, entry) of the files, sorted; links are files of their own."""
        root = Path(self.root)
        if not root.is_dir():
            if root.exists():
                yield root.name, root
            return
        obey = self.gitignore and any((folder / ".git").exists() for folder in (root, *root.parents))
        yield from self._walk(self.root, "", [], obey)

    def _walk(
        self, folder: str, relative: str, rules: list[IgnoreRule], obey: bool
    ) -> Iterator[tuple[str, os.DirEntry[str]]]:
        if obey:
            rules = [*rules, *read_rules(Path(folder, ".gitignore"), relative)]
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            path = relative + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name in _CACHES or (rules and is_ignored(rules, path, is_folder)):
                continue
            if is_folder:
                if self._may_contain(path):
                    yield from self._walk(entry.path, f"{path}/", rules, obey)
            elif not entry.name.endswith(".pyc") and passes_filter(path, self.include, self.exclude):
                yield path, entry

    def _may_contain(self, folder: str) -> bool:
        """Say whether a folder can hold files that pass the filter, judging by the start of its globs."""
        if not self.include:
            return True
        heads = [_fixed_start(glob) for glob in self.include]
        return any(f"{folder}/".startswith(head) or head.startswith(f"{folder}/") for head in heads)

    def watched(self) -> list[Path]:
        """Name the files and folders that somebody who waits for changes should look at."""
        if not self.include:
            return [Path(self.root)]
        return sorted({Path(self.root, _fixed_start(glob)) for glob in self.include})


def _fixed_start(glob: str) -> str:
    """Give the start of a glob that holds no wildcard: ``src/`` of ``src/**``; empty for ``*.md``."""
    special = next((at for at, letter in enumerate(glob) if letter in "*?[{"), None)
    return glob if special is None else glob[: glob.rfind("/", 0, special) + 1]


def stat_key(sources: Sequence[Source]) -> str:
    """Hash names, sizes and times of all files: equal means unchanged, in a few milliseconds."""
    digest = hashlib.sha256()
    for source in sources:
        for path, entry in source.files():
            found = entry.stat(follow_symlinks=False)
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_mode}\n".encode())
    return digest.hexdigest()


def content_key(sources: Sequence[Source]) -> str:
    """Hash names, contents and executable bits of all files: the truth about whether something changed."""
    digest = hashlib.sha256()
    for source in sources:
        for path, entry in source.files():
            file = Path(entry)
            mode = entry.stat(follow_symlinks=False).st_mode & 0o111
            content = str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
            digest.update(f"{path}\0{mode}\0{len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
