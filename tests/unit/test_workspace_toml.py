"""Lines of keys, in all the ways that TOML can write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_runner_base.errors import CallerError
from ai_runner_base.workspace._toml import Document, dotted, load

pytestmark = pytest.mark.unit

TEXT = '''\
# a comment with [brackets] and "quotes"
title = "one"
text = """
[not.a.table]
key = 'not a key'
"""

[a.b]          # behind a header
"quoted.key" = 1
x.y = 2
list = [
  "first",
  { name = "second", deep = { value = [1, 2] } },
]

[[items]]
name = "i0"

[[items]]
name = 'i1'
[items.sub]
k = true
'''


@pytest.fixture
def document(tmp_path: Path) -> Document:
    path = tmp_path / "t.toml"
    path.write_text(TEXT)
    return load(path)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("title",), 2),
        (("text",), 3),
        (("a", "b"), 8),
        (("a", "b", "quoted.key"), 9),
        (("a", "b", "x", "y"), 10),
        (("a", "b", "list"), 11),
        (("a", "b", "list", 0), 12),
        (("a", "b", "list", 1, "deep", "value", 1), 13),
        (("items", 0, "name"), 17),
        (("items", 1, "name"), 20),
        (("items", 1, "sub", "k"), 22),
    ],
)
def test_every_key_has_its_line(document: Document, key: tuple[str | int, ...], line: int) -> None:
    assert document.line(key) == line


def test_an_unknown_key_has_the_line_of_the_table_around_it(document: Document) -> None:
    assert document.line(("a", "b", "missing", "deep")) == 8


def test_what_only_looks_like_a_key_is_none(document: Document) -> None:
    assert document.line(("not", "a", "table")) == 1


def test_keys_read_as_people_write_them() -> None:
    assert dotted(("feature", "x", "tasks", "a.b", 0)) == 'feature.x.tasks."a.b"[0]'


def test_a_syntax_error_names_the_line_and_the_version_of_toml(tmp_path: Path) -> None:
    path = tmp_path / "pixi.toml"
    path.write_text('[workspace]\nname = "x"\nplatforms = [{\n  name = "y" }]\n')
    with pytest.raises(CallerError, match=r"^pixi\.toml:3: ") as caught:
        load(path)
    assert "TOML 1.0" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"cannot read .*none\.toml"):
        load(tmp_path / "none.toml")
