"""`build_packages` in an environment of pixiw: what its mirror cannot feed is left out and named, unless asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ai_runner_base.channel import Want
from ai_runner_base.cli import build_packages
from ai_runner_base.cli._pixiw_events import EventReporter

pytestmark = pytest.mark.unit

RECIPE = """\
schema_version: 1
package: {{name: {name}, version: "1.0"}}
build: {{noarch: generic}}
requirements: {{run: [{needs}]}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two recipes, in an environment of pixiw on a host without CUDA."""
    for name, needs in (("light", "numpy"), ("heavy", "cuda-version >=12.8, __cuda >=12.8")):
        (tmp_path / "recipes" / name).mkdir(parents=True)
        (tmp_path / "recipes" / name / "recipe.yaml").write_text(RECIPE.format(name=name, needs=needs))
    (tmp_path / "home/channel").mkdir(parents=True)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "home/envs/build"))
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")
    monkeypatch.delenv("PIXI_PROJECT_MANIFEST", raising=False)
    monkeypatch.setattr(build_packages, "_ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch) -> list[Want]:
    """What was asked of the mirror, which is not made."""
    wanted: list[Want] = []

    def mirror(wants: Any, *args: Any, **options: Any) -> Any:
        wanted.extend(wants)
        return SimpleNamespace(url="file:///mirror")

    monkeypatch.setattr(build_packages, "mirror", mirror)
    return wanted


def plan(*recipes: Path, channels: tuple[str, ...] = (), told: Callable[[dict[str, Any]], None]) -> Any:
    return build_packages.plan_build(recipes, channels, EventReporter(told), with_tests=True)


def test_what_a_mirror_cannot_feed_is_left_out_and_named(root: Path, mirrored: list[Want]) -> None:
    events: list[dict[str, Any]] = []
    made = plan(told=events.append)
    assert [folder.name for folder in made.folders] == ["light"]
    assert list(made.channels) == ["file:///mirror"]
    assert "__cuda" not in made.virtual_packages
    assert [want.spec for want in mirrored] == ["numpy"]
    (note,) = [event["text"] for event in events]
    assert note.startswith(
        "heavy is left out: a package of conda-forge cannot come from a Python index: cuda-version"
    )


def test_what_is_named_is_not_left_out(root: Path, mirrored: list[Want]) -> None:
    made = plan(root / "recipes/heavy", told=lambda event: None)
    assert [folder.name for folder in made.folders] == ["heavy"]
    assert "cuda-version >=12.8" in [want.spec for want in mirrored]


def test_other_channels_feed_everything(
    root: Path, mirrored: list[Want], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = plan(channels=("conda-forge",), told=lambda event: None)
    monkeypatch.setenv("CONDA_PREFIX", str(root / "elsewhere/envs/build"))
    default = plan(told=lambda event: None)
    for made in (named, default):
        assert [folder.name for folder in made.folders] == ["heavy", "light"]
        assert list(made.channels) == ["conda-forge"]
        assert made.virtual_packages is None
    assert mirrored == []
