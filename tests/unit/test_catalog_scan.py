"""The catalog reads metadata, imports nothing, and lets no broken package hide another."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ai_runner_base.catalog import Catalog, CondaPackage, environment_name, known_prefixes
from ai_runner_base.errors import CallerError, HostError

pytestmark = pytest.mark.unit

GROUP = "[ai_runner.pipeline]\n"


def make_prefix(path, *, python=True, base=True):
    """An environment's skeleton: no interpreter is needed, since none is asked."""
    site = path / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (path / "conda-meta").mkdir()
    if python:
        (path / "bin").mkdir()
        (path / "bin/python").symlink_to(sys.executable)
    if base:
        add(path, "ai_runner_base", entry_points=None)
    return path


def add(prefix, name, version="1.0", entry_points=GROUP + "echo = echo.pipeline:Echo\n", metadata=None):
    """A distribution's metadata folder."""
    folder = prefix / f"lib/python3.11/site-packages/{name}-{version}.dist-info"
    folder.mkdir()
    if metadata is None:
        metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    (folder / "METADATA").write_text(metadata)
    if entry_points is not None:
        (folder / "entry_points.txt").write_text(entry_points)
    return folder


def test_what_is_told_of_a_pipeline(tmp_path):
    """Name, place, package, version, environment; nothing is imported."""
    prefix = make_prefix(tmp_path / "envs/studio")
    add(prefix, "my_echo", "1.2.3")
    catalog = Catalog.scan([prefix])
    (item,) = catalog.pipelines
    assert (item.name, item.entry_point) == ("echo", "echo.pipeline:Echo")
    assert (item.package, item.version) == ("my-echo", "1.2.3")
    assert (item.prefix, item.environment, item.python) == (prefix, "studio", prefix / "bin/python")
    assert (item.conda, item.problem, catalog.problems) == (None, None, ())
    assert "echo" not in sys.modules


def test_conda_package_is_found_by_its_files(tmp_path):
    """Conda's name may differ from the distribution's: the record that lists its metadata is the owner."""
    prefix = make_prefix(tmp_path / "env")
    add(prefix, "my_echo")
    files = ["lib/python3.11/site-packages/my_echo-1.0.dist-info/METADATA"]
    record = {
        "name": "ai-runner-echo",
        "version": "1.0",
        "build": "pyh1f3c_0",
        "channel": "file:///c",
        "files": files,
    }
    (prefix / "conda-meta/ai-runner-echo-1.0-pyh1f3c_0.json").write_text(json.dumps(record))
    (prefix / "conda-meta/aaa-1.0-0.json").write_text(json.dumps({"name": "aaa", "files": []}))
    add(prefix, "by_pip", entry_points=GROUP + "pip = p:P\n")
    catalog = Catalog.scan([prefix])
    assert catalog.find("echo").conda == CondaPackage("ai-runner-echo", "1.0", "pyh1f3c_0", "file:///c")
    assert catalog.find("pip").conda is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: (f / "entry_points.txt").write_bytes(b"[ai_runner.pipeline]\nx = \xff\xfe:Y\n"),
            "'utf-8' codec can't decode",
        ),
        (
            lambda f: (f / "entry_points.txt").write_text(GROUP + "just words\n"),
            "entry_points.txt is malformed",
        ),
        (lambda f: (f / "METADATA").unlink(), "no Name or no Version"),
        (lambda f: (f / "METADATA").write_text("nonsense"), "no Name or no Version"),
    ],
)
def test_a_broken_distribution_is_reported_and_hides_none(tmp_path, spoil, message):
    """The others are found; the problem names folder and fault."""
    prefix = make_prefix(tmp_path / "env")
    add(prefix, "good")
    spoil(add(prefix, "bad", entry_points=GROUP + "bad = b:B\n"))
    catalog = Catalog.scan([prefix])
    assert catalog.names == ("echo",)
    (problem,) = catalog.problems
    assert problem.subject == "bad-1.0.dist-info"
    assert message in problem.message
    assert str(problem).startswith(str(prefix))


def test_a_damaged_conda_record_hides_none(tmp_path):
    """A half-written record makes its own pipeline a problem, nobody else's."""
    prefix = make_prefix(tmp_path / "env")
    add(prefix, "good")
    add(prefix, "torn", entry_points=GROUP + "torn = t:T\n")
    (prefix / "conda-meta/torn-1.0-0.json").write_text(
        '{"files": ["lib/python3.11/site-packages/torn-1.0.dist-info/x"'
    )
    catalog = Catalog.scan([prefix])
    assert catalog.names == ("echo",)
    assert catalog.problems[0].subject == "torn-1.0.dist-info"


@pytest.mark.parametrize("value", ["echo", "echo.pipeline", "echo pipeline:Echo", ":Echo", "echo:"])
def test_malformed_entry_points_are_listed_with_their_problem(tmp_path, value):
    """It is shown that the package is there, and why it cannot run."""
    prefix = make_prefix(tmp_path / "env")
    add(prefix, "odd", entry_points=GROUP + f"odd = {value}\n")
    catalog = Catalog.scan([prefix])
    assert "does not have the form package.module:Name" in catalog.pipelines[0].problem
    with pytest.raises(HostError, match=r"cannot be started.*package\.module:Name"):
        catalog.find("odd")


def test_two_packages_with_one_name(tmp_path):
    """The first counts, and the conflict is told with both owners."""
    prefix = make_prefix(tmp_path / "env")
    add(prefix, "first")
    add(prefix, "second")
    catalog = Catalog.scan([prefix])
    assert [item.package for item in catalog.pipelines] == ["first"]
    assert "first 1.0 and second 1.0 both register it" in catalog.problems[0].message


def test_environment_without_python(tmp_path):
    """A half-removed environment is listed, and cannot be chosen."""
    prefix = make_prefix(tmp_path / "env", python=False)
    add(prefix, "echo")
    catalog = Catalog.scan([prefix])
    assert catalog.pipelines[0].problem == "its environment has no bin/python"
    assert [problem.subject for problem in catalog.problems] == ["echo"]


def test_environment_without_the_base(tmp_path):
    """A pipeline cannot run without ai-runner-base beside it, unless a path file may bring it."""
    prefix = make_prefix(tmp_path / "env", base=False)
    add(prefix, "echo")
    assert "no ai-runner-base" in Catalog.scan([prefix]).pipelines[0].problem
    (prefix / "lib/python3.11/site-packages/borrowed.pth").write_text("/somewhere\n")
    assert Catalog.scan([prefix]).pipelines[0].problem is None


def test_what_is_no_environment(tmp_path):
    """A given folder that holds no Python is a problem, not a crash."""
    catalog = Catalog.scan([tmp_path, tmp_path / "missing"])
    assert catalog.pipelines == ()
    assert [problem.prefix for problem in catalog.problems] == [tmp_path, tmp_path / "missing"]


def test_siblings_are_environments_in_the_same_envs_folder(tmp_path):
    """Own first, then the others by name, then the base around them; other folders are left alone."""
    base = make_prefix(tmp_path / "conda")
    own, first = make_prefix(base / "envs/own"), make_prefix(base / "envs/a")
    venv = base / "envs/z"
    venv.mkdir()
    (venv / "pyvenv.cfg").touch()
    (base / "envs/notes").mkdir()
    assert known_prefixes(own) == (own, first, venv, base)
    assert known_prefixes(base) == (base, first, own, venv)
    lonely = make_prefix(tmp_path / "homes/own")
    make_prefix(tmp_path / "homes/other")
    assert known_prefixes(lonely) == (lonely,)
    assert (environment_name(base), environment_name(own)) == ("base", "own")


def test_own_environment_wins_and_others_can_be_named(tmp_path, monkeypatch):
    """One name in two environments: the own one, unless another is asked for by name or path."""
    own, other = make_prefix(tmp_path / "envs/own"), make_prefix(tmp_path / "envs/a_first")
    add(own, "echo", "2.0")
    add(other, "echo", "1.0")
    monkeypatch.setattr(sys, "prefix", str(own))
    monkeypatch.setattr("sysconfig.get_path", lambda kind: str(own / "lib/python3.11/site-packages"))
    catalog = Catalog.scan(also=[other])
    assert [item.environment for item in catalog.pipelines] == ["own", "a_first"]
    assert catalog.find("echo").version == "2.0"
    assert catalog.find("echo", "a_first").version == "1.0"
    assert catalog.find("echo", str(other)).version == "1.0"
    with pytest.raises(CallerError, match=r"not in environment 'b'.*it is in a_first, own"):
        catalog.find("echo", "b")


def test_a_healthy_namesake_is_taken_before_a_broken_one(tmp_path):
    """A broken environment does not stand in the way of a good one."""
    broken, good = make_prefix(tmp_path / "envs/a", python=False), make_prefix(tmp_path / "envs/b")
    add(broken, "echo")
    add(good, "echo")
    assert Catalog.scan([broken, good]).find("echo").prefix == good


def test_unknown_names_get_what_there_is_and_the_nearest(tmp_path):
    """A typing error is answered with the right name."""
    prefix = make_prefix(tmp_path / "env")
    add(prefix, "p", entry_points=GROUP + "effects = e:E\nnoop = n:N\n")
    catalog = Catalog.scan([prefix])
    with pytest.raises(
        CallerError, match=r"no pipeline 'efects'; installed are effects, noop \(did you mean effects\?"
    ):
        catalog.find("efects")
    with pytest.raises(CallerError, match="ai-runner pipelines"):
        catalog.find("zzzzzz")
    with pytest.raises(CallerError, match="no environment has any"):
        Catalog().find("noop")


def test_the_own_interpreter_is_scanned_by_default():
    """Without arguments the catalog holds this prefix, whose own base is not a problem."""
    catalog = Catalog.scan()
    own = Path(sys.prefix)
    assert all(item.problem is None for item in catalog.pipelines if item.prefix == own)
    assert os.access(own / "bin/python", os.X_OK)
