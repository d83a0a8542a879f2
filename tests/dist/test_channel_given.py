"""Channels in folders beside the mirror: what they have is theirs to supply, what that needs is wanted in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.tinychannel import TinyPackage, module, write_channel

from ai_runner_base.channel import Want, given_channels, left_to_others
from ai_runner_base.errors import CallerError

pytestmark = pytest.mark.dist

ASKED = ("environment test",)


def channel(folder: Path, *packages: TinyPackage) -> str:
    return write_channel(folder, *packages)


def left(wants: list[str], *channels: str) -> list[str]:
    rest, _ = left_to_others([Want(spec, ASKED) for spec in wants], given_channels(channels, "linux-64"))
    return [str(want) for want in rest]


def test_what_a_channel_has_is_replaced_by_what_that_needs(tmp_path: Path) -> None:
    url = channel(
        tmp_path, module("base", depends=("inner >=1", "outer >=2")), module("inner", depends=("deep",))
    )
    assert left(["base", "other"], url) == [
        "environment test → other",
        "environment test → base → python",
        "environment test → base → outer >=2",
        "environment test → base → inner → python",
        "environment test → base → inner → deep",
    ]


def test_the_version_that_is_asked_for_decides_what_is_needed(tmp_path: Path) -> None:
    old, new = module("base", "1.0", depends=("older",)), module("base", "2.0", depends=("newer",))
    url = channel(tmp_path, old, new)
    assert "environment test → base → newer" in left(["base"], url)
    assert "environment test → base → older" in left(["base <2"], url)


def test_packages_that_need_each_other_come_to_an_end(tmp_path: Path) -> None:
    url = channel(tmp_path, module("one", depends=("two",)), module("two", depends=("one",)))
    assert left(["one"], url) == ["environment test → one → python", "environment test → one → two → python"]


def test_groups_are_kept_apart_and_bounds_are_handed_on(tmp_path: Path) -> None:
    package = TinyPackage("base", depends=("numpy",), constrains=("pytest >=8",), noarch="python")
    given = given_channels([channel(tmp_path, package)], "linux-64")
    rest, bounds = left_to_others([Want("base"), Want("base", (), "build x")], given)
    assert [(want.spec, want.group) for want in rest] == [("numpy", ""), ("numpy", "build x")]
    assert set(bounds) == {"pytest >=8"}


def test_only_folders_count_and_the_first_has_precedence(tmp_path: Path) -> None:
    first = channel(tmp_path / "a", module("base", "1.0", depends=("first",)))
    second = channel(tmp_path / "b", module("base", "2.0", depends=("second",)))
    names = ["livepeer", "https://channels.example/x", first, second, "conda-forge"]
    assert [found.url for found in given_channels(names, "linux-64")] == [first, second]
    assert "environment test → base → first" in left(["base"], *names)


def test_a_folder_without_a_channel_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="is not there"):
        left(["base"], (tmp_path / "none").as_uri())
