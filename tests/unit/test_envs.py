"""envs/*.yml say what pixi.toml says, in a form that conda reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ai_runner_base.cli.export_envs import export, main
from ai_runner_base.workspace import read_manifest

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[2]
MANIFEST = read_manifest(REPOSITORY / "pixi.toml")
ITEM = re.compile(r'^  - "?([^"\n]*)"?$', re.M)


def test_the_files_are_what_the_manifest_says() -> None:
    found = {path.name: path.read_text() for path in (REPOSITORY / "envs").glob("*.yml")}
    assert found == export(MANIFEST), "run: pixi run export-envs"


def test_every_environment_has_a_file_and_a_gpu_one_where_it_matters() -> None:
    names = set(export(MANIFEST))
    assert {f"{name}.yml" for name in MANIFEST.environments} <= names
    with_gpu = {
        "torch-cuda.yml",
        "comfyui-cuda.yml",
        "scope-cuda.yml",
        "streamdiffusion-cuda.yml",
        "test-streamdiffusion-cuda.yml",
    }
    assert names - {f"{name}.yml" for name in MANIFEST.environments} == with_gpu


def test_in_repo_packages_come_by_name_from_their_channel_before_the_others() -> None:
    channels, _, rest = export(MANIFEST)["effects.yml"].partition("dependencies:")
    assert ITEM.findall(channels) == ["livepeer", "conda-forge", "nodefaults"]
    specs = ITEM.findall(rest)
    assert {"ai-runner-base", "ai-runner-effects", "python >=3.11,<3.14"} == set(specs)
    assert 'MODEL_ID: "effects"' in rest


def test_the_gpu_file_asks_for_the_cuda_build() -> None:
    specs = ITEM.findall(export(MANIFEST)["torch-cuda.yml"])
    assert "pytorch >=2.6 cuda*" in specs
    assert "cuda-version >=12.8,<13" in specs


def test_a_channel_built_here_can_stand_in_and_files_without_environment_go(tmp_path: Path) -> None:
    (tmp_path / "gone.yml").touch()
    manifest = str(REPOSITORY / "pixi.toml")
    url = "file:///srv/channel"
    done = CliRunner().invoke(main, ["--manifest", manifest, "--output", str(tmp_path), "--channel", url])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == set(export(MANIFEST))
    assert ITEM.findall((tmp_path / "noop.yml").read_text())[0] == url


def test_the_readme_names_no_file_that_is_not_there() -> None:
    text = (REPOSITORY / "envs/README.md").read_text()
    named = set(re.findall(r"envs/([\w-]+\.yml)", text))
    assert named
    assert named <= set(export(MANIFEST))
