"""A new repository: names, refusals, both variants valid for pixi and for pixiw, and true to themselves."""

from __future__ import annotations

import ast
import io
import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tests._support.manifests import CPU, GPU

from ai_runner_base.authoring import Answers, create, packed_pixiw, read_project
from ai_runner_base.channel import load, names, versions
from ai_runner_base.cli import run
from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.workspace import Host, TaskGraph, read_manifest, resolve

pytestmark = pytest.mark.unit

SCHEMA = json.loads((Path(__file__).parents[1] / "data" / "pixi-schema.json").read_text())
VARIANTS = pytest.mark.parametrize("cuda", [False, True], ids=["cpu", "cuda"])


def made(folder: Path, *, cuda: bool = False, name: str = "soft-focus") -> Path:
    create(folder / name, Answers(name, ["livepeer", "conda-forge"], cuda=cuda))
    return folder / name


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("SoftFocus", "soft-focus"),
        ("soft_focus", "soft-focus"),
        ("2d", "d"),
        ("soft--focus", "soft-focus"),
        ("../x", "x"),
        ("ä", "my-pipeline"),
        ("json", "json-video"),
        ("numpy", "numpy-video"),
        ("class", "class-video"),
    ],
)
def test_a_bad_name_is_refused_with_a_better_one(name: str, suggestion: str) -> None:
    with pytest.raises(CallerError) as caught:
        Answers(name, [])
    assert caught.value.hint == f"for example: {suggestion}"
    assert repr(name) in caught.value.message
    Answers(suggestion, [])


def test_a_name_becomes_a_module_and_a_class() -> None:
    answers = Answers("soft-focus2", [])
    assert (answers.module, answers.class_name) == ("soft_focus2", "SoftFocus2")


@VARIANTS
def test_nothing_of_the_template_is_left(tmp_path: Path, cuda: bool) -> None:
    folder = made(tmp_path, cuda=cuda)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"recipe.yaml", ".gitignore", "LICENSE", "README.md"} <= {path.name for path in files}
    assert (folder / "variants.yaml").exists() is cuda
    for path in files:
        assert "my_pipeline" not in str(path)
        assert path.suffix != ".tmpl"
        if "scripts" not in path.parts:
            text = path.read_text()
            assert not [
                word for word in ("my-pipeline", "my_pipeline", "MyPipeline", "@cuda", "@c") if word in text
            ]
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text())


@VARIANTS
def test_the_manifest_is_valid_by_pixis_schema(tmp_path: Path, cuda: bool) -> None:
    path = made(tmp_path, cuda=cuda) / "pixi.toml"
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    assert [error.message for error in validator.iter_errors(toml(path))] == []
    assert path.read_text().splitlines()[0] == f"#:schema {SCHEMA['$id']}"


@VARIANTS
@pytest.mark.parametrize("host", [CPU, GPU], ids=["cpu-host", "gpu-host"])
def test_every_environment_can_be_planned(tmp_path: Path, cuda: bool, host: Host) -> None:
    folder = made(tmp_path, cuda=cuda)
    manifest = read_manifest(folder / "pixi.toml")
    plans = {name: resolve(manifest, name, host) for name in manifest.environments}
    assert plans["test"].recipes == plans["default"].recipes == {"soft-focus": folder}
    assert plans["build"].recipes == {}
    on_gpu = cuda and host is GPU
    assert plans["default"].platform.name == ("linux-64-cuda" if on_gpu else "linux-64")
    assert ("cuda-version >=12.8,<13" in plans["default"].specs) is on_gpu
    assert plans["default"].activation.env["MODEL_ID"] == "soft-focus"


@VARIANTS
def test_its_tasks_run_where_they_should(tmp_path: Path, cuda: bool) -> None:
    manifest = read_manifest(made(tmp_path, cuda=cuda) / "pixi.toml")
    graph = TaskGraph(manifest, CPU, None, tmp_path)
    where = {name: graph.jobs([name])[-1] for name in ("serve", "dev", "check", "test", "build-packages")}
    environments = {name: job.environment for name, job in where.items()}
    assert environments == dict.fromkeys(("serve", "dev", "check"), "default") | {
        "test": "test",
        "build-packages": "build",
    }
    assert where["check"].command == "ai-runner check soft-focus"


@VARIANTS
def test_recipe_and_pyproject_say_the_same(tmp_path: Path, cuda: bool) -> None:
    folder = made(tmp_path, cuda=cuda)
    project = toml(folder / "pyproject.toml")["project"]
    outputs = load(folder).outputs
    assert {(o.name, o.version) for o in outputs} == {(project["name"], project["version"])}
    python = f"python {versions.to_conda(SpecifierSet(project['requires-python']))}"
    wanted = {names.to_conda(r.name): r.specifier for r in map(Requirement, project["dependencies"])}
    for output in outputs:
        needed = {spec.split()[0]: spec for spec in output.depends}
        assert needed.pop("python") == python
        assert {name for name in needed if not names.is_conda_only(name)} == set(wanted)
    assert outputs[0].depends[1].startswith("ai-runner-base >=")


def test_the_cuda_variant_declares_what_the_driver_must_be(tmp_path: Path) -> None:
    outputs = {output.build.split("_")[0]: output for output in load(made(tmp_path, cuda=True)).outputs}
    assert set(outputs) == {"cpu", "cuda128"}
    assert {"__cuda >=12.8", "cuda-version >=12.8,<13", "pytorch >=2.6 cuda*"} <= set(
        outputs["cuda128"].depends
    )
    assert not [spec for spec in outputs["cpu"].depends if "cuda" in spec]


def test_the_entry_point_is_found_from_any_folder_of_it(tmp_path: Path) -> None:
    folder = made(tmp_path)
    project = read_project(folder / "src" / "soft_focus")
    assert (project.folder, project.source, project.package) == (folder, folder / "src", "soft-focus")
    assert [(e.name, e.place) for e in project.entry_points] == [
        ("soft-focus", "soft_focus.pipeline:SoftFocus")
    ]


# ---- refusals


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "soft-focus").mkdir()
    (tmp_path / "soft-focus" / "mine.txt").write_text("mine")
    with pytest.raises(CallerError, match="exists and is not empty"):
        made(tmp_path)
    assert [path.name for path in (tmp_path / "soft-focus").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "soft-focus" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "soft-focus")
    create(Path(), Answers("soft-focus", []))
    assert Path("recipe.yaml").is_file()
    assert Path(".gitignore").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["soft-focus"]


def test_it_writes_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ai_runner_base.authoring.new.write_wrapper", full)
    with pytest.raises(HostError, match="No space left"):
        made(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_an_installed_pipeline_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "noop"]) == 2
    said = capsys.readouterr().err
    assert "a pipeline 'noop' is installed already: ai-runner-noop" in said
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "channel").mkdir()
    assert run(["new", "soft-focus", "--into", "here", "-c", "channel"]) == 0
    said = capsys.readouterr().out
    assert "cd here" in said
    assert "scripts/pixiw run test" in said
    channels = toml(tmp_path / "here" / "pixi.toml")["workspace"]["channels"]
    assert channels == [(tmp_path / "channel").as_uri(), "conda-forge"]
    assert "before you share this repository" in (tmp_path / "here" / "pixi.toml").read_text()


def test_base_comes_from_where_this_one_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "conda-meta" / "ai-runner-base-0.1.0-h1_0.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"channel": "https://me:secret@channels.example/t/key/mine/"}))
    monkeypatch.setattr("ai_runner_base.cli.new.sys.prefix", str(tmp_path))
    assert run(["new", "soft-focus", "--into", str(tmp_path / "here")]) == 0
    channels = toml(tmp_path / "here" / "pixi.toml")["workspace"]["channels"]
    assert channels == ["https://channels.example/mine", "conda-forge"]
    record.unlink()
    assert run(["new", "soft-focus", "--into", str(tmp_path / "there")]) == 0
    channels = toml(tmp_path / "there" / "pixi.toml")["workspace"]["channels"]
    assert channels == ["livepeer", "conda-forge"]


# ---- the wrapper


def test_pixiw_is_packed_the_same_each_time_and_without_the_live_side() -> None:
    packed = packed_pixiw()
    assert packed == packed_pixiw()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        rooms = {name.split("/")[1] for name in archive.namelist() if name.count("/") > 1}
    assert rooms == {"channel", "cli", "workspace"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no pyproject.toml"),
        ("[project", "pyproject.toml: "),
        ("[project]\nname = 'x'\n", "registers no pipeline"),
        ("[project.entry-points.'ai_runner.pipeline']\nx = 'x.y'\n", "does not have the form"),
        ("[project.entry-points.'ai_runner.pipeline']\nx = 'x.y:Z'\n", "name x, which is neither in src/"),
    ],
)
def test_a_project_that_cannot_be_served_says_why(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(CallerError, match=said):
        read_project(tmp_path)
