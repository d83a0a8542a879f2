"""The table of names: rows in canonical form, and one answer in each direction."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from ai_runner_base.channel import names

pytestmark = pytest.mark.unit

SNAPSHOT = Path(__file__).parents[3] / "shared" / "conda-forge-snapshot"
SHARED_CONDA_NAMES = {"py-opencv", "cupy", "psycopg2"}
# Packages of conda-forge without Python inside that PyPI has, too: programs shipped as wheels, and bundles of extras.
ON_BOTH_SIDES = {
    "bleach-with-css", "clang-format", "cmake", "conda-forge-pinning", "dlpack", "duckdb", "email_validator",
    "cyclonedx-python-lib-with-json-validation", "cyclonedx-python-lib-with-validation",
    "cyclonedx-python-lib-with-xml-validation", "fastapi", "gql-with-requests", "intel-cmplr-lib-rt",
    "intel-cmplr-lic-rt", "jsonschema-with-format-nongpl", "jupyter-lsp-python", "mkl", "mkl-include", "nbconvert",
    "nbconvert-pandoc", "ninja", "onemkl-license", "pandera", "prompt_toolkit", "pyrefly", "python", "python_abi",
    "pytorch-cpu", "pytorch-gpu", "service_identity", "typer-slim-standard", "uv", "uvicorn-standard", "vtk",
    "vtk-io-ffmpeg", "zizmor",
}  # fmt: skip


def test_rows_are_canonical_and_each_project_stands_once() -> None:
    assert [pypi for pypi, _ in names.TABLE if pypi != canonicalize_name(pypi)] == []
    assert [conda for _, conda in names.TABLE if conda != conda.lower()] == []
    assert [pypi for pypi, count in Counter(p for p, _ in names.TABLE).items() if count > 1] == []


def test_conda_names_stand_once_but_for_those_with_several_distributions() -> None:
    counts = Counter(conda for _, conda in names.TABLE)
    assert {conda for conda, count in counts.items() if count > 1} == SHARED_CONDA_NAMES


@pytest.mark.parametrize(("pypi", "conda"), names.TABLE)
def test_both_directions_agree(pypi: str, conda: str) -> None:
    assert names.to_conda(pypi) == conda
    back = names.to_pypi(conda)
    assert back is not None
    assert names.to_conda(back) == conda
    assert conda in SHARED_CONDA_NAMES or back == pypi


@pytest.mark.parametrize(
    ("pypi", "conda"),
    [
        ("torch", "pytorch"),
        ("opencv-python-headless", "py-opencv"),
        ("opencv-python", "py-opencv"),
        ("msgpack", "msgpack-python"),
        ("Typing.Extensions", "typing_extensions"),
        ("prometheus-client", "prometheus_client"),
        ("huggingface_hub", "huggingface_hub"),
        ("ruamel.yaml", "ruamel.yaml"),
        ("build", "python-build"),
        ("backports.zstd", "backports.zstd"),
        ("flatbuffers", "python-flatbuffers"),
        ("tables", "pytables"),
        ("graphviz", "python-graphviz"),
        ("protobuf", "protobuf"),
        ("Jinja2", "jinja2"),
        ("PyYAML", "pyyaml"),
        ("import-linter", "import-linter"),
        ("pydantic_core", "pydantic-core"),
    ],
)
def test_names_that_our_recipes_and_pipelines_use(pypi: str, conda: str) -> None:
    assert names.to_conda(pypi) == conda


def test_the_mirror_asks_for_the_headless_opencv() -> None:
    assert names.to_pypi("py-opencv") == names.to_pypi("opencv") == "opencv-python-headless"


@pytest.mark.parametrize(("alias", "target"), names.ALIASES.items())
def test_aliases_lead_to_a_package_in_one_step(alias: str, target: str) -> None:
    assert target not in names.ALIASES
    assert names.canonical(alias) == target
    assert alias not in {conda for _, conda in names.TABLE}
    assert names.to_pypi(alias) == names.to_pypi(target) is not None


@pytest.mark.parametrize(
    "name",
    [
        "ffmpeg",
        "gxx_linux-64",
        "libstdcxx",
        "cuda-version",
        "cuda-nvcc",
        "cudnn",
        "x264",
        "compilers",
        "graphviz",
        "flatbuffers",
        "tzdata",
        "openssl",
        "_openmp_mutex",
        "git",
        "zlib",
        "xorg-libx11",
        "conda",
        "nodejs",
    ],
)
def test_what_is_no_python_project_is_never_looked_up(name: str) -> None:
    assert names.is_conda_only(name)
    assert names.to_pypi(name) is None


@pytest.mark.parametrize("name", ["librosa", "cuda-python", "numpy", "jsonpath-ng", "gitpython", "ninja"])
def test_python_projects_with_such_names_are(name: str) -> None:
    assert not names.is_conda_only(name)
    assert names.to_pypi(name) == name


def test_virtual_packages_are_told_apart() -> None:
    assert names.is_virtual("__cuda")
    assert not names.is_virtual("_libgcc_mutex")


@pytest.mark.skipif(not SNAPSHOT.is_dir(), reason="no records of conda-forge beside this repository")
def test_against_records_of_conda_forge() -> None:
    listed, with_python = _snapshot()
    unknown = {n for n in listed - with_python if not names.is_conda_only(n)}
    assert unknown - ON_BOTH_SIDES == set()
    wrongly = {n for n in with_python if names.is_conda_only(n) and not n.startswith(("lib", "pixi-"))}
    assert wrongly <= {"conda", "conda-build", "cpython", "gdb", "glib"}
    assert {alias for alias in names.ALIASES if alias not in listed} <= {"opencv"}
    for pypi, conda in names.TABLE:
        if pypi in listed and pypi != conda:
            assert names.canonical(pypi) == conda or names.is_conda_only(pypi), pypi


def _snapshot() -> tuple[set[str], set[str]]:
    listed, with_python = set(), set()
    for subdir in ("noarch", "linux-64"):
        index = json.loads((SNAPSHOT / subdir / "repodata.json").read_text())
        for record in (*index["packages"].values(), *index["packages.conda"].values()):
            listed.add(record["name"])
            needs = {spec.split()[0] for spec in record["depends"]}
            if record.get("noarch") == "python" or needs & {"python", "python_abi"}:
                with_python.add(record["name"])
    return listed, with_python
