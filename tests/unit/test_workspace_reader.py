"""What a manifest may say, and with which name and line everything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.manifests import HEAD, manifest

from ai_runner_base.errors import CallerError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[pypi-dependencies]\nx = "*"\n', "5: pypi-dependencies"),
        ('[project]\nname = "x"\n', "5: project"),
        ('[system-requirements]\ncuda = "12"\n', "5: system-requirements"),
        ('[package]\nname = "x"\n', "5: package"),
        ("[dev]\n", "5: dev"),
        ('[build-dependencies]\nx = "*"\n', "5: build-dependencies"),
        ('[host-dependencies]\nx = "*"\n', "5: host-dependencies"),
        ('[feature.a]\nchannels = ["x"]\n', "6: feature.a.channels"),
        ('[feature.a]\nchannel-priority = "strict"\n', "6: feature.a.channel-priority"),
        ('[feature.a.pypi-dependencies]\nx = "*"\n', "5: feature.a.pypi-dependencies"),
        ('[feature.a]\nsolve-strategy = "lowest"\n', "6: feature.a.solve-strategy"),
        ('[target.linux.pypi-dependencies]\nx = "*"\n', "5: target.linux.pypi-dependencies"),
        ('[dependencies]\nx = { git = "g" }\n', "6: dependencies.x.git"),
        ('[dependencies]\nx = { url = "g" }\n', "6: dependencies.x.url"),
        ('[dependencies]\nx = { version = "1", extras = ["y"] }\n', "6: dependencies.x.extras"),
        ('[dependencies]\nx = { version = "1", build-number = "1" }\n', "6: dependencies.x.build-number"),
        ('[dependencies]\nx = { version = "1", sha256 = "ab" }\n', "6: dependencies.x.sha256"),
        ('[dependencies]\nx = { version = "1", when = "y" }\n', "6: dependencies.x.when"),
        ('[dependencies]\nx = { path = "x.conda" }\n', "6: dependencies.x.path"),
        ('[tasks]\nx = { cmd = "y", clean-env = true }\n', "6: tasks.x.clean-env"),
        ('[tasks]\nx = { cmd = "y", depends_on = ["z"] }\n', "6: tasks.x.depends_on"),
        ('exclude-newer = "2026-01-01"\n', "5: workspace.exclude-newer"),
        ("conda-pypi-map = false\n", "5: workspace.conda-pypi-map"),
        ('[workspace.build-variants]\npython = ["3.11"]\n', "5: workspace.build-variants"),
    ],
)
def test_what_pixiw_does_not_do_is_refused_by_name_and_line(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(CallerError, match=rf"^pixi\.toml:{where}: not supported by pixiw: ") as caught:
        manifest(tmp_path, text)
    assert "pixi itself" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[depndencies]\n", r"5: depndencies: unknown key"),
        ("[feature.a]\ndependancies = {}\n", r"6: feature\.a\.dependancies: unknown key"),
        ('[tasks]\nx = { command = "y" }\n', r"6: tasks\.x\.command: unknown key"),
        ('[tasks]\nx = { description = "y" }\n', r"6: tasks\.x: a task needs cmd or depends-on"),
        ('[tasks]\n"x y" = "z"\n', r'6: tasks\."x y": names of tasks'),
        ("[tasks]\nx = 3\n", r"6: tasks\.x: must be a table, is 3"),
        ('[tasks]\nx = { cmd = "y", args = ["a-b"] }\n', r"6: tasks\.x\.args\[0\]: 'a-b' is no name"),
        (
            '[tasks]\nx = { cmd = "y", args = [{ arg = "a", default = "1" }, "b"] }\n',
            r"6: tasks\.x\.args: b has no default",
        ),
        ('[tasks]\nx = { cmd = "y", args = ["a", "a"] }\n', r"two arguments have the same name"),
        (
            '[tasks]\nx = { cmd = "y", args = [{ arg = "a", default = "1", choices = ["2"] }] }\n',
            r"'1' is not among the choices",
        ),
        (
            "[tasks]\nx = { depends-on = [{ args = [] }] }\n",
            r"6: tasks\.x\.depends-on\[0\]\.task: this key is missing",
        ),
        (
            "[tasks]\nx = { depends-on = [{ task = 't', args = [1] }] }\n",
            r"6: tasks\.x\.depends-on\[0\]\.args\[0\]",
        ),
        ("[activation]\nscripts = 'x'\n", r"6: activation\.scripts: must be a list of strings"),
        ("[activation.env]\nX = 1\n", r"6: activation\.env\.X: must be a non-empty string"),
        (
            "[dependencies]\nx = { workspace = true }\n",
            r"6: dependencies\.x: x is not in \[workspace\.dependencies\]",
        ),
        ("[dependencies]\nx = { workspace = true, version = '1' }\n", r"nothing else may be said"),
        ("[dependencies]\nx = { path = 'x', version = '1' }\n", r"takes no version"),
        (
            "[dependencies]\nx = { version = '1', channel = 'other' }\n",
            r"'other' is not among workspace\.channels",
        ),
        ("[target.linux-64-cude.dependencies]\n", r"5: target\.linux-64-cude: .* no platform"),
        ("[feature.a]\nplatforms = ['win-64']\n", r"6: feature\.a\.platforms: 'win-64' is not among"),
        ("[environments]\na = ['b']\n", r"6: environments\.a\.features: there is no feature 'b'"),
        ("[environments]\nA_b = []\n", r"6: environments\.A_b: names of environments"),
        ("[environments]\na = { no-default-feature = 'yes' }\n", r"must be true or false"),
        ("channel-priority = 'flexible'\n", r"5: workspace\.channel-priority: only strict"),
        ("solve-strategy = 'lowest'\n", r"5: workspace\.solve-strategy: only highest"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        manifest(tmp_path, text)


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ('{ name = "a_b", platform = "linux-64", cuda = "12" }', r"'a_b' must be letters"),
        ('{ name = "unix", platform = "linux-64", cuda = "12" }', r"no family of systems"),
        ('{ name = "linux-64", cuda = "12" }', r"cannot declare __cuda"),
        ('{ platform = "linux-65" }', r"'linux-65' is no conda platform"),
        ('{ platform = "linux-64", archspec = "x86_64_v3" }', r"archspec: not supported by pixiw"),
        ('{ platform = "linux-64", cudda = "12" }', r"cudda: unknown key"),
        ('{ platform = "linux-64", cuda = { arch = "8.6" } }', r"driver: this key is missing"),
    ],
)
def test_platforms_are_checked(tmp_path: Path, platform: str, message: str) -> None:
    head = f'[workspace]\nchannels = ["c"]\nplatforms = [\n  {platform},\n]\n'
    with pytest.raises(CallerError, match=rf"pixi\.toml:4: .*{message}"):
        manifest(tmp_path, head=head)


def test_a_platform_without_a_name_gets_one_from_what_it_declares(tmp_path: Path) -> None:
    entry = '{ platform = "linux-64", cuda = { driver = "12.8", arch = "8.6" }, glibc = "2.34", __foo = "1" }'
    found = manifest(tmp_path, head=f'[workspace]\nchannels = ["c"]\nplatforms = [{entry}, "osx-arm64"]\n')
    rich, plain = found.platforms
    assert rich.name == "linux-64-cuda-12-8-cuda_arch-8-6-glibc-2-34-foo-1".replace("_", "-")
    assert rich.declared == {"__cuda": "12.8", "__cuda_arch": "8.6", "__glibc": "2.34", "__foo": "1"}
    assert (plain.name, plain.subdir, plain.declared) == ("osx-arm64", "osx-arm64", {})


def test_two_platforms_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="two platforms of the name linux-64"):
        manifest(tmp_path, head='[workspace]\nchannels = ["c"]\nplatforms = ["linux-64", "linux-64"]\n')


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("[tasks]\n", "workspace: this table is missing"),
        ('[workspace]\nplatforms = ["linux-64"]\n', "channels: this list is missing"),
        ('[workspace]\nchannels = ["c"]\n', "platforms: this list is missing"),
    ],
)
def test_what_every_manifest_needs(tmp_path: Path, head: str, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        manifest(tmp_path, head=head)


def test_environments_in_every_form(tmp_path: Path) -> None:
    text = """
[feature.a.dependencies]
a = "1.*"
[environments]
listed = ["a"]
bare = { features = ["a"], no-default-feature = true, solve-group = "g" }
inline = { dependencies = { b = "2.*" } }
"""
    found = manifest(tmp_path, text)
    names = {name: [f.name for f in env.features] for name, env in found.environments.items()}
    assert names == {
        "default": ["default"],
        "listed": ["environment listed", "a", "default"],
        "bare": ["environment bare", "a"],
        "inline": ["environment inline", "default"],
    }
    assert found.environments["bare"].solve_group == "g"
    assert found.environments["inline"].features[0].base.dependencies["b"].spec == "b 2.*"


def test_other_programs_tables_are_left_alone(tmp_path: Path) -> None:
    assert manifest(tmp_path, "[tool.other]\nanything = 1\n").name == "demo"


def test_the_name_falls_back_to_the_folder(tmp_path: Path) -> None:
    head = HEAD.replace('name = "demo"\n', "")
    assert manifest(tmp_path, head=head).name == tmp_path.name


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ('"*"', "x"),
        ('"3.11"', "x ==3.11"),
        ('"3.11.*"', "x 3.11.*"),
        ('">=1,<2"', "x >=1,<2"),
        ('"1|2"', "x 1|2"),
        ('{ version = ">=2", build = "cuda*" }', "x >=2 cuda*"),
        ('{ build = "cpu*" }', "x * cpu*"),
        ('{ version = "1.2", channel = "conda-forge" }', "x ==1.2"),
    ],
)
def test_versions_become_match_specs(tmp_path: Path, value: str, spec: str) -> None:
    found = manifest(tmp_path, f"[dependencies]\nx = {value}\n")
    assert found.features["default"].base.dependencies["x"].spec == spec


def test_tasks_in_every_form(tmp_path: Path) -> None:
    text = """
[tasks]
short = "echo hi"
group = ["short", { task = "long", environment = "default", args = ["1", { b = "2" }] }]
words = { cmd = ["echo", "a b"] }
_hidden = { cmd = "true" }
[tasks.long]
cmd = "run {{ a }} {{ b }}"
args = ["a", { arg = "b", default = "x", choices = ["x", "2"] }]
env = { K = "v" }
cwd = "sub"
inputs = ["in/**"]
outputs = ["out"]
depends-on = "short"
description = "Long"
default-environment = "default"
"""
    tasks = manifest(tmp_path, text).features["default"].base.tasks
    assert tasks["short"].command == "echo hi"
    assert tasks["words"].command == ("echo", "a b")
    assert [(call.task, call.environment, call.args) for call in tasks["group"].depends_on] == [
        ("short", None, ()),
        ("long", "default", ("1", ("b", "2"))),
    ]
    long = tasks["long"]
    assert [(arg.name, arg.default, arg.choices) for arg in long.args] == [
        ("a", None, ()),
        ("b", "x", ("x", "2")),
    ]
    assert (long.env, long.cwd, long.inputs, long.outputs) == ({"K": "v"}, "sub", ("in/**",), ("out",))
    assert (long.description, long.default_environment) == ("Long", "default")
    assert [call.task for call in long.depends_on] == ["short"]
    assert [name for name, task in tasks.items() if task.hidden] == ["_hidden"]
