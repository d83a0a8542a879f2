"""Which environment and which channels the words of `ai-runner install` mean, and what is said without py-rattler."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from ai_runner_base.catalog import environments_folder
from ai_runner_base.cli import _installing, run
from ai_runner_base.cli._installing import Place, channel_urls
from ai_runner_base.errors import CallerError
from ai_runner_base.workspace import Request, match_spec

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text", ["My-Pipeline", "my-pipeline==1.2", "my-pipeline >=1,<2", "my-pipeline~=1.0"]
)
def test_an_environment_is_named_after_its_first_package(text: str) -> None:
    assert Place.of(None, None, [text, "other"]) == Place(environments_folder(), "my-pipeline")


def test_a_name_and_a_path_say_which_environment(tmp_path: Path) -> None:
    assert Place.of("live", None, ["x"]) == Place(environments_folder(), "live")
    assert Place.of(None, tmp_path / "b" / ".." / "live", []) == Place(tmp_path, "live")
    with pytest.raises(click.UsageError, match="exclude"):
        Place.of("live", tmp_path, [])
    with pytest.raises(click.UsageError, match="which environment"):
        Place.of(None, None, [])


def test_channels_are_names_urls_or_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDA_CHANNEL_ALIAS", raising=False)
    assert channel_urls([], override=False) == ["livepeer", "conda-forge"]
    assert channel_urls(["http://h/c", str(tmp_path)], override=True) == ["http://h/c", tmp_path.as_uri()]
    assert channel_urls(["conda-forge", "a"], override=False) == ["conda-forge", "a"]
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", "https://mirror.example/conda/")
    assert channel_urls(["livepeer"], override=True) == ["https://mirror.example/conda/livepeer"]
    with pytest.raises(CallerError, match="is no folder"):
        channel_urls([str(tmp_path / "gone")], override=True)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("Shade", "shade"),
        ("shade==2.0", "shade ==2.0"),
        (" shade >=1,<2", "shade >=1,<2"),
        ("a_b.c", "a_b.c"),
    ],
)
def test_packages_are_written_as_conda_and_pip_do(text: str, spec: str) -> None:
    assert match_spec(text) == spec


@pytest.mark.parametrize("text", ["", "==1.0", "shade @@", "shade 1.0", "-c"])
def test_what_names_no_package_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(CallerError, match="names no package") as caught:
        match_spec(text)
    assert "NAME==VERSION" in caught.value.hint


def test_what_is_asked_for_adds_up_and_a_package_is_asked_for_once() -> None:
    request = Request().with_specs(["a", "b ==1"]).with_specs(["b >=2"])
    assert request.specs == ("a", "b >=2")
    assert request.without(["a"]).specs == ("b >=2",)
    with pytest.raises(CallerError, match="c was not asked for here"):
        request.without(["c"])


def test_without_py_rattler_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_installing, "find_spec", lambda name: None)
    assert run(["install", "shade"]) == 5
    said = capsys.readouterr().err
    assert f"this needs py-rattler, which environment {Path(sys.prefix).name} lacks" in said
    assert "conda install py-rattler" in said
