"""TOML with line numbers: `tomllib` reads the values, a small scanner finds the line of a key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CallerError

Key = tuple[str | int, ...]
"""Where a value is: table names and array positions, e.g. ``("feature", "test", "tasks", "lint")``."""

WITH_PIXI = "use pixi itself for this, or take it out of the manifest"

_SPACE = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""+' r"|'''.*?'''+" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed TOML file.

    :param path: for messages
    :param text: as it stands in the file; scanned for lines only when an error needs one
    :param data: the values
    """

    path: Path
    text: str
    data: dict[str, Any]

    def line(self, key: Key) -> int:
        """Line (from 1) of ``key``, or of the nearest table around it."""
        lines = _Scanner(self.text).lines
        while key and key not in lines:
            key = key[:-1]
        return lines.get(key, 1)

    def error(self, key: Key, problem: str, *, hint: str = "") -> CallerError:
        """An error that says where: ``pixi.toml:12: tasks.lint: ...``."""
        return CallerError(f"{self.path.name}:{self.line(key)}: {dotted(key)}: {problem}", hint=hint)


def dotted(key: Key) -> str:
    """``("a", "b", 0, "c.d")`` as people write it: ``a.b[0]."c.d"``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else f'"{part}"')
    return text


def load(path: Path) -> Document:
    """Read a TOML 1.0 file.

    :raises CallerError: the file is missing, or is not TOML 1.0 (with the line)
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"cannot read {path}: {error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        line = where.group(1) if where else "?"
        hint = "keep it TOML 1.0: no line break and no trailing comma inside { }, which pixi would allow"
        raise CallerError(f"{path.name}:{line}: not TOML: {error}", hint=hint) from error
    return Document(path, text, data)


class _Scanner:
    """Finds keys in text that is known to be valid TOML, so it may be lax about everything else."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._counted, self._line = 0, 1
        self.lines: dict[Key, int] = {}
        self._array_items: dict[Key, int] = {}
        table: Key = ()
        while self._more():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _more(self) -> bool:
        self._skip(_SPACE)
        return self._position < len(self._text)

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            self._position += 1
            return ""
        self._position = match.end()
        return match.group()

    def _blanks(self) -> None:
        while self._peek() in (" ", "\t"):
            self._position += 1

    def _mark(self, key: Key, position: int) -> None:
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        self.lines.setdefault(key, self._line)

    def _header(self) -> Key:
        start = self._position
        is_array = self._text.startswith("[[", start)
        self._position += 2 if is_array else 1
        table = self._resolve(self._dotted_key())
        self._position += 2 if is_array else 1
        for length in range(1, len(table) + 1):
            self._mark(table[:length], start)
        if is_array:
            self._array_items[table] = self._array_items.get(table, -1) + 1
            table = (*table, self._array_items[table])
            self._mark(table, start)
        return table

    def _resolve(self, name: Key) -> Key:
        """Put the position of the last ``[[item]]`` behind every array of tables inside ``name``."""
        full: Key = ()
        for index, part in enumerate(name):
            full = (*full, part)
            if full in self._array_items and index < len(name) - 1:
                full = (*full, self._array_items[full])
        return full

    def _dotted_key(self) -> Key:
        parts: list[str] = []
        while True:
            self._blanks()
            if self._peek() in ('"', "'"):
                quoted = self._skip(_STRING)
                parts.append(next(iter(tomllib.loads(f"{quoted} = 0"))))
            else:
                parts.append(self._skip(_BARE_KEY))
            self._blanks()
            if self._peek() != ".":
                return tuple(parts)
            self._position += 1

    def _pair(self, table: Key) -> None:
        start = self._position
        key = table
        for part in self._dotted_key():
            key = (*key, part)
            self._mark(key, start)
        self._position += 1  # the equals sign
        self._value(key)

    def _value(self, key: Key) -> None:
        self._blanks()
        opening = self._peek()
        if opening == "[":
            self._items(key)
        elif opening == "{":
            self._inline_table(key)
        else:
            self._skip(_STRING if opening in ('"', "'") else _SCALAR)

    def _items(self, key: Key) -> None:
        self._position += 1
        index = 0
        while self._more() and self._peek() != "]":
            self._mark((*key, index), self._position)
            self._value((*key, index))
            index += 1
        self._position += 1

    def _inline_table(self, key: Key) -> None:
        self._position += 1
        while self._more() and self._peek() != "}":
            self._pair(key)
        self._position += 1


class Table:
    """A table of a document, read with checks; every complaint names the line.

    :param key: where it is
    :param data: its values
    """

    def __init__(self, document: Document, key: Key, data: object) -> None:
        if not isinstance(data, dict):
            raise document.error(key, f"must be a table, is {data!r}")
        self.document, self.key = document, key
        self.data: dict[str, Any] = data

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def error(self, name: str | None, problem: str, *, hint: str = "") -> CallerError:
        """An error about one key of this table, or about the table itself."""
        return self.document.error(self.key if name is None else (*self.key, name), problem, hint=hint)

    def only(self, known: frozenset[str], refused: Mapping[str, str]) -> None:
        """Refuse every key that is not understood: with a reason where there is one, else as unknown."""
        for name in self.data:
            if name in refused:
                raise self.error(name, f"not supported by pixiw: {refused[name]}", hint=WITH_PIXI)
            if name not in known:
                raise self.error(name, f"unknown key; known here: {', '.join(sorted(known))}")

    def string(self, name: str) -> str | None:
        """A non-empty string, or None where the key is absent."""
        value = self.data.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(name, f"must be a non-empty string, is {value!r}")
        return value

    def flag(self, name: str) -> bool:
        """A boolean, False where absent."""
        value = self.data.get(name, False)
        if not isinstance(value, bool):
            raise self.error(name, f"must be true or false, is {value!r}")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty where absent."""
        value = self.data.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.error(name, f"must be a list of strings, is {value!r}")
        return tuple(value)

    def string_map(self, name: str) -> dict[str, str]:
        """A table of strings, empty where absent."""
        table = self.table(name)
        return {key: table.string(key) or "" for key in table.data}

    def items(self, name: str) -> Iterator[tuple[Key, Any]]:
        """The items of a list of anything, with their places."""
        value = self.data.get(name, [])
        if not isinstance(value, list):
            raise self.error(name, f"must be a list, is {value!r}")
        for index, item in enumerate(value):
            yield (*self.key, name, index), item

    def table(self, name: str) -> Table:
        """A table below this one, empty where absent."""
        return Table(self.document, (*self.key, name), self.data.get(name, {}))

    def tables(self, name: str) -> Iterator[tuple[str, Table]]:
        """The tables in the table ``name``, each with its own name."""
        for key in self.table(name).data:
            yield key, self.table(name).table(key)
