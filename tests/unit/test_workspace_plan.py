"""From a manifest and a host to specs, recipes, activation and tasks of one environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.manifests import CPU, GPU, manifest, recipe

from ai_runner_base.errors import CallerError
from ai_runner_base.workspace import resolve, runnable_platform, tasks

pytestmark = pytest.mark.unit


def test_a_target_overrides_within_its_feature_and_features_add_up(tmp_path: Path) -> None:
    text = """
[dependencies]
python = "3.11.*"
[feature.t.dependencies]
torch = ">=2"
python = ">=3.10"
[feature.t.target.linux.dependencies]
torch = ">=2.1"
[feature.t.target.linux-64-cuda.dependencies]
torch = { version = ">=2.2", build = "cuda*" }
[feature.t.target."linux-64-*".constraints]
numpy = "<3"
[environments]
t = ["t"]
"""
    found = manifest(tmp_path, text)
    assert resolve(found, "t", CPU).specs == ("torch >=2.1", "python >=3.10", "python 3.11.*")
    assert resolve(found, "t", GPU).specs == ("torch >=2.2 cuda*", "python >=3.10", "python 3.11.*")
    assert resolve(found, "t", CPU).constraints == ()
    assert resolve(found, "t", GPU).constraints == ("numpy <3",)


def test_in_repo_packages_are_recipes_and_not_asked_of_the_mirror(tmp_path: Path) -> None:
    folder = recipe(tmp_path, "mine")
    nested = tmp_path / "other" / "recipe"
    nested.mkdir(parents=True)
    (nested / "recipe.yaml").touch()
    text = """
[workspace.dependencies]
mine = { path = "recipes/mine" }
[dependencies]
mine = { workspace = true }
other = { path = "other" }
direct = { path = "recipes/mine/recipe.yaml" }
numpy = ">=2"
"""
    plan = resolve(manifest(tmp_path, text), "default", CPU)
    assert plan.specs == ("mine", "other", "direct", "numpy >=2")
    assert plan.recipes == {"mine": folder, "other": nested, "direct": folder}
    assert plan.source.recipes == (folder, nested)
    assert plan.source.specs == ("numpy >=2",)
    assert plan.source.channels == ("conda-forge",)


def test_a_missing_recipe_is_named_with_its_line(tmp_path: Path) -> None:
    found = manifest(tmp_path, '[dependencies]\nx = { path = "nowhere" }\n')
    with pytest.raises(
        CallerError, match=r"pixi\.toml:6: dependencies\.x: there is no recipe\.yaml in .*nowhere"
    ):
        resolve(found, "default", CPU)


def test_a_solve_group_is_solved_as_one_and_each_takes_its_part(tmp_path: Path) -> None:
    text = """
[dependencies]
python = "3.11.*"
[feature.a.dependencies]
a = "*"
[feature.b.dependencies]
b = "*"
[feature.gpu]
platforms = ["linux-64-cuda"]
[environments]
one = { features = ["a"], solve-group = "g" }
two = { features = ["b"], solve-group = "g" }
far = { features = ["gpu"], solve-group = "g" }
alone = ["a"]
"""
    plan = resolve(manifest(tmp_path, text), "one", CPU)
    assert plan.group == ("one", "two")
    assert plan.specs == ("a", "python 3.11.*")
    assert plan.group_specs == ("a", "python 3.11.*", "b")
    assert plan.source.specs == plan.group_specs
    assert resolve(manifest(tmp_path, text), "alone", CPU).group_specs == ("a", "python 3.11.*")


def test_activation_first_feature_wins_and_scripts_add_up(tmp_path: Path) -> None:
    text = """
[activation]
scripts = ["base.sh"]
env = { A = "default", B = "default" }
[target.linux-64.activation]
scripts = ["target.sh"]
env = { B = "target" }
[feature.f.activation]
scripts = ["f.sh"]
env = { A = "f" }
[environments]
e = { features = ["f"], activation = { env = { C = "inline" } } }
"""
    activation = resolve(manifest(tmp_path, text), "e", CPU).activation
    assert activation.env == {"A": "f", "B": "target", "C": "inline"}
    assert activation.scripts == ("f.sh", "target.sh")


def test_tasks_first_feature_wins_and_targets_beat_their_feature(tmp_path: Path) -> None:
    text = """
[tasks]
t = "default"
u = "default"
[target.linux-64-cuda.tasks]
u = "cuda"
[feature.f.tasks]
t = "f"
[environments]
e = ["f"]
"""
    found = manifest(tmp_path, text)
    for host, word in ((CPU, "default"), (GPU, "cuda")):
        platform = runnable_platform(found, found.environments["e"], host)
        assert platform is not None
        commands = {name: task.command for name, task in tasks(found.environments["e"], platform).items()}
        assert commands == {"t": "f", "u": word}


def test_an_unknown_environment_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="no environment 'x'") as caught:
        resolve(manifest(tmp_path, "[environments]\na = []\n"), "x", CPU)
    assert caught.value.hint == "there are: default, a"
