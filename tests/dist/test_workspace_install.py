"""Environments from real channels of tiny packages: made, changed, checked, and never seen half-made."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests._support.tinychannel import (
    PYTHON,
    TinyPackage,
    host_python,
    index,
    module,
    program,
    write_channel,
    write_package,
)
from tests._support.workspaces import FakeVariant, StaticProvider, Workspace

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.workspace import ready

pytestmark = pytest.mark.dist

MANIFEST = '[dependencies]\npython = "*"\nalpha = "*"\ntool = "*"\n'
VERSIONS = "import alpha, beta; print(alpha.VERSION, beta.VERSION)"


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    path = tmp_path / "channel"
    write_channel(path, host_python(), module("alpha", depends=("beta",)), module("beta"), program("tool"))
    return path


@pytest.fixture
def workspace(tmp_path: Path, channel: Path) -> Workspace:
    root = tmp_path / "with space"
    root.mkdir()
    found = Workspace(root, StaticProvider([channel.as_uri()]))
    found.write(MANIFEST)
    return found


def current(workspace: Workspace) -> str:
    return workspace.home.prefix("default").resolve().name


def test_an_environment_is_made_and_names_its_stable_prefix(workspace: Workspace) -> None:
    (prepared,) = workspace.prepare()
    assert workspace.reporter.steps == ["solve", "verify", "link", "compile"]
    assert re.fullmatch(
        r"environment default: 4 packages, under 1 MB, \d+\.\d s", workspace.reporter.notes[-1]
    )
    prefix = workspace.home.prefix("default")
    assert workspace.run("tool") == f"tool 1.0 {prefix}"
    assert workspace.run("python", "-c", f"{VERSIONS}; import sys; print(sys.prefix)") == f"1.0 1.0\n{prefix}"
    assert prepared.packages == 4
    assert ready(workspace.plan(), workspace.home) == prepared


def test_modules_are_compiled_and_name_the_stable_prefix(workspace: Workspace) -> None:
    workspace.prepare()
    site = workspace.home.prefix("default") / f"lib/python{PYTHON}/site-packages"
    assert len(list(site.glob("__pycache__/alpha.*.pyc"))) == 1
    code = "import alpha, sys; print(alpha.__spec__.loader.get_code('alpha').co_filename)"
    assert workspace.run("python", "-B", "-c", code) == str(site / "alpha.py")


def test_nothing_to_do_asks_nobody(workspace: Workspace) -> None:
    workspace.prepare()
    steps, asked = len(workspace.reporter.steps), workspace.provider.asked
    workspace.prepare()
    assert (len(workspace.reporter.steps), workspace.provider.asked) == (steps, asked)


def test_a_change_that_changes_no_package_keeps_the_generation(workspace: Workspace) -> None:
    workspace.prepare()
    workspace.write(MANIFEST.replace('tool = "*"', 'tool = ">=1"'))
    workspace.prepare()
    assert current(workspace) == "default-1"
    assert workspace.provider.asked == 2


def test_an_upgrade_is_a_new_generation_without_stale_bytecode(workspace: Workspace, channel: Path) -> None:
    workspace.prepare()
    # The same size and time as the old file: Python would take the old bytecode for it.
    write_channel(channel, module("beta", "2.0"))
    workspace.write(MANIFEST + 'beta = ">=2"\n')
    workspace.prepare()
    assert workspace.run("python", "-c", VERSIONS) == "1.0 2.0"
    assert current(workspace) == "default-2"
    old, new = (
        workspace.home.generations / name / f"lib/python{PYTHON}/site-packages"
        for name in ("default-1", "default-2")
    )
    (kept,) = new.glob("__pycache__/alpha.*.pyc")
    assert kept.stat().st_ino == (old / "__pycache__" / kept.name).stat().st_ino


def test_environments_share_compiled_modules_and_tracebacks_stay_right(workspace: Workspace) -> None:
    workspace.write(MANIFEST + "[environments]\nother = []\n")
    workspace.prepare("default", "other")
    module_path = f"lib/python{PYTHON}/site-packages/alpha.py"
    one, other = (workspace.home.prefix(name) / module_path for name in ("default", "other"))
    (compiled,) = one.parent.glob("__pycache__/alpha.*.pyc")
    assert compiled.stat().st_ino == (other.parent / "__pycache__" / compiled.name).stat().st_ino
    code = "import alpha; print(alpha.__spec__.loader.get_code('alpha').co_filename)"
    assert workspace.run("python", "-B", "-c", code, environment="other") == str(other)


def test_what_is_no_longer_asked_for_goes(workspace: Workspace) -> None:
    workspace.prepare()
    workspace.write('[dependencies]\npython = "*"\nalpha = "*"\n')
    workspace.prepare()
    assert not (workspace.home.prefix("default") / "bin" / "tool").exists()


def test_locked_packages_stay_when_something_newer_appears(workspace: Workspace, channel: Path) -> None:
    workspace.prepare()
    write_channel(channel, module("beta", "3.0"), program("extra"))
    workspace.write(MANIFEST + 'extra = "*"\n')
    workspace.prepare()
    assert workspace.run("python", "-c", VERSIONS) == "1.0 1.0"


def test_a_rebuilt_package_of_this_repository_replaces_the_old_one(
    workspace: Workspace, channel: Path
) -> None:
    (workspace.root / "tool").mkdir()
    (workspace.root / "tool" / "recipe.yaml").touch()
    workspace.write(MANIFEST.replace('tool = "*"', 'tool = { path = "tool" }'))
    source = workspace.root / "source"
    source.write_text("1")
    workspace.provider.watched = [source]
    workspace.prepare()
    (channel / "linux-64" / "tool-1.0-0.conda").unlink()
    write_channel(channel, program("tool", "1.0", build="changed"))
    source.write_text("22")
    workspace.prepare()
    (record,) = workspace.home.prefix("default").glob("conda-meta/tool-*.json")
    assert record.name == "tool-1.0-changed.json"


def test_a_file_that_is_not_what_the_index_says_is_never_installed(
    workspace: Workspace, channel: Path
) -> None:
    workspace.prepare()
    write_channel(channel, program("tool", "2.0"))
    write_package(channel, program("tool", "2.0", depends=("beta",)))
    workspace.write(MANIFEST + '[constraints]\ntool = "2.*"\n')
    with pytest.raises(HostError, match=r"package tool-2\.0-0\.conda in .* has sha256 .*, the index says"):
        workspace.prepare()
    assert workspace.run("tool").startswith("tool 1.0 ")
    assert current(workspace) == "default-1"


def test_a_file_that_is_gone_is_named(workspace: Workspace, channel: Path) -> None:
    (channel / "linux-64" / "tool-1.0-0.conda").unlink()
    with pytest.raises(HostError, match=r"package tool-1\.0-0\.conda .* cannot be read"):
        workspace.prepare()
    assert not workspace.home.prefix("default").exists()


@pytest.fixture
def served(channel: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Not looked at."""

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(channel))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5.0)


def test_a_channel_over_http_works_and_is_checked_too(
    workspace: Workspace, channel: Path, served: str
) -> None:
    workspace.provider.urls = [served]
    workspace.prepare()
    assert workspace.run("tool").startswith("tool 1.0 ")
    write_channel(channel, program("tool", "2.0"))
    for path in channel.glob("*/repodata*"):
        os.utime(path, (time.time() + 10, time.time() + 10))  # this server tells times in whole seconds
    write_package(channel, program("tool", "2.0", depends=("beta",)))
    workspace.write(MANIFEST + '[constraints]\ntool = "2.*"\n')
    with pytest.raises(HostError, match=r"environment default cannot be installed: .*tool"):
        workspace.prepare()
    assert workspace.run("tool").startswith("tool 1.0 ")


def test_an_edit_inside_an_environment_does_not_reach_the_next_one(workspace: Workspace) -> None:
    workspace.prepare()
    edited = workspace.home.prefix("default") / f"lib/python{PYTHON}/site-packages/beta.py"
    with edited.open("a") as file:
        file.write("VERSION = 'poisoned'\n")
    workspace.write(MANIFEST + "[environments]\nother = []\n")
    workspace.prepare("other")
    assert workspace.run("python", "-c", VERSIONS, environment="other") == "1.0 1.0"


def test_what_conda_changed_is_put_right(workspace: Workspace) -> None:
    workspace.prepare()
    (record,) = workspace.home.prefix("default").glob("conda-meta/tool-*.json")
    record.unlink()
    workspace.prepare()
    assert current(workspace) == "default-2"
    assert len(list(workspace.home.prefix("default").glob("conda-meta/tool-*.json"))) == 1


def test_conda_learns_what_was_asked_for(workspace: Workspace) -> None:
    workspace.prepare()
    history = (workspace.home.prefix("default") / "conda-meta" / "history").read_text()
    assert re.search(r"^==> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d <==$", history, re.M)
    assert re.search(r"^\+\S+/linux-64::tool-1\.0-0$", history, re.M)
    (specs,) = re.findall(r"^# update specs: (.*)$", history, re.M)
    assert json.loads(specs.replace("'", '"')) == ["python", "alpha", "tool"]


def test_activation_of_packages_reaches_the_tasks(workspace: Workspace, channel: Path) -> None:
    script = {"etc/conda/activate.d/x.sh": 'export X_HOME="$CONDA_PREFIX/x"\n'}
    write_channel(channel, TinyPackage("x", files=script))
    workspace.write(MANIFEST + 'x = "*"\n')
    (prepared,) = workspace.prepare()
    assert prepared.activated.variables == {"X_HOME": f"{workspace.home.prefix('default')}/x"}


def test_members_of_a_solve_group_get_the_same_versions(workspace: Workspace, channel: Path) -> None:
    write_channel(channel, module("beta", "2.0"))
    workspace.write(
        '[dependencies]\npython = "*"\nbeta = "*"\n'
        '[feature.old.dependencies]\nbeta = "1.*"\n[feature.new.dependencies]\ntool = "*"\n'
        '[environments]\nold = { features = ["old"], solve-group = "g" }\n'
        'new = { features = ["new"], solve-group = "g" }\nfree = ["new"]\n'
    )
    workspace.prepare("new", "free")
    code = "import beta; print(beta.VERSION)"
    assert workspace.run("python", "-c", code, environment="new") == "1.0"
    assert workspace.run("python", "-c", code, environment="free") == "2.0"
    assert not list(workspace.home.prefix("new").glob("conda-meta/alpha-*.json"))


def test_what_cannot_be_solved_is_explained_with_what_this_host_provides(workspace: Workspace) -> None:
    workspace.write(MANIFEST + 'nosuch = ">=3"\n')
    with pytest.raises(CallerError, match=r"environment default cannot be solved\n.*nosuch") as caught:
        workspace.prepare()
    assert "platform linux-64 on this host provides __glibc 2.36" in caught.value.hint


def test_a_package_that_demands_cuda_is_refused_before_anything_is_provided(workspace: Workspace) -> None:
    (workspace.root / "gpu").mkdir()
    (workspace.root / "gpu" / "recipe.yaml").touch()
    workspace.provider.rendered = [FakeVariant("gpu", ("python", "__cuda >=12.8"))]
    workspace.write(
        MANIFEST
        + '[feature.gpu.dependencies]\ngpu = { path = "gpu" }\n[environments]\ngpu = ["gpu"]\nlight = []\n'
    )
    with pytest.raises(HostError) as caught:
        workspace.prepare("gpu")
    assert caught.value.message == (
        "environment gpu: package gpu needs __cuda >=12.8 (platform linux-64), this host has no __cuda"
    )
    assert caught.value.hint == "the nearest environment that runs here: -e default"
    assert workspace.provider.asked == 0
    workspace.provider.rendered = [*workspace.provider.rendered, FakeVariant("gpu", ("python",))]
    with pytest.raises(CallerError, match="cannot be solved"):
        workspace.prepare("gpu")


# ---- --frozen and --locked


def test_frozen_takes_what_is_there(workspace: Workspace) -> None:
    workspace.prepare()
    workspace.write(MANIFEST + 'nosuch = "*"\n')
    workspace.prepare(frozen=True)
    assert workspace.provider.asked == 1
    assert workspace.run("tool").startswith("tool 1.0 ")


def test_frozen_installs_what_was_chosen_before(workspace: Workspace) -> None:
    workspace.prepare()
    workspace.home.prefix("default").unlink()
    workspace.write(MANIFEST + 'nosuch = "*"\n')
    workspace.prepare(frozen=True)
    assert workspace.provider.asked == 1
    assert workspace.run("tool").startswith("tool 1.0 ")


def test_frozen_needs_something_to_go_by(workspace: Workspace) -> None:
    with pytest.raises(CallerError, match="was never solved here"):
        workspace.prepare(frozen=True)


def test_locked_refuses_to_choose_anew(workspace: Workspace) -> None:
    with pytest.raises(CallerError, match="was never solved here"):
        workspace.prepare(locked=True)
    workspace.prepare()
    workspace.prepare(locked=True)
    workspace.write(MANIFEST + 'beta = ">=1"\n')
    with pytest.raises(CallerError, match="has changed in the manifest"):
        workspace.prepare(locked=True)


# ---- interrupted, and more than one at a time

KILL_POINTS = [
    ("_install", "verify_records", "before"),
    ("_install", "new_generation", "after"),
    ("_install", "_link", "before"),
    ("_install", "_link", "after"),
    ("_install", "compile_modules", "after"),
    ("_install", "_write_history", "after"),
    ("_install", "mark_complete", "after"),
    ("_generations", "os.path.relpath", "after"),
    ("_install", "make_current", "after"),
    ("_prepare", "save_state", "before"),
    ("_prepare", "write_lock", "before"),
]


def _kill_at(module_name: str, function: str, moment: str) -> str:
    """Statements that have a function kill its process; coroutines are awaited first."""
    return f"""
import asyncio, importlib, inspect
owner = importlib.import_module("ai_runner_base.workspace.{module_name}")
*path, name = {function!r}.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, name)
def die():
    os.kill(os.getpid(), 9)
def fake(*a, **k):
    if {moment!r} == "before":
        die()
    real(*a, **k)
    die()
async def slow(*a, **k):
    if {moment!r} == "before":
        die()
    await real(*a, **k)
    die()
setattr(owner, name, slow if inspect.iscoroutinefunction(real) else fake)
"""


@pytest.mark.parametrize(("module_name", "function", "moment"), KILL_POINTS)
@pytest.mark.parametrize("before", [False, True], ids=["fresh", "upgrade"])
def test_killed_anywhere_the_environment_is_the_old_one_or_the_new_one(
    workspace: Workspace, channel: Path, module_name: str, function: str, moment: str, before: bool
) -> None:
    if before:
        workspace.prepare()
        write_channel(channel, program("tool", "2.0"))
        workspace.write(MANIFEST + '[constraints]\ntool = "2.*"\n')
    with workspace.prepare_elsewhere(_kill_at(module_name, function, moment)) as child:
        _, errors = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, errors
    version = "2.0" if before else "1.0"
    if workspace.home.prefix("default").exists():
        assert workspace.run("tool").split()[1] in ({"1.0", "2.0"} if before else {"1.0"})
        assert workspace.run("python", "-c", VERSIONS) == "1.0 1.0"
    else:
        assert not before
    workspace.prepare()
    assert workspace.run("tool").split()[1] == version
    assert workspace.run("python", "-c", VERSIONS) == "1.0 1.0"
    assert sorted(path.name for path in workspace.home.environments.iterdir()) == ["default"]
    assert len(list(workspace.home.generations.iterdir())) == (2 if before else 1)


@pytest.mark.parametrize("delay_s", [0.25, 0.35, 0.45, 0.6])
def test_killed_at_any_time_the_next_one_works(workspace: Workspace, delay_s: float) -> None:
    with workspace.prepare_elsewhere() as child:
        timer = threading.Timer(delay_s, child.kill)
        timer.start()
        child.communicate(timeout=60)
        timer.cancel()
    workspace.prepare()
    assert workspace.run("python", "-c", VERSIONS) == "1.0 1.0"


def test_two_at_once_make_it_once(workspace: Workspace) -> None:
    children = [workspace.prepare_elsewhere() for _ in range(3)]
    outcomes = [(child.communicate(timeout=60)[1], child.returncode) for child in children]
    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    assert current(workspace) == "default-1"
    assert workspace.run("python", "-c", VERSIONS) == "1.0 1.0"


def test_the_channel_may_be_indexed_again(workspace: Workspace, channel: Path) -> None:
    workspace.prepare()
    index(channel)
    os.utime(channel / "linux-64" / "tool-1.0-0.conda")
    workspace.write(MANIFEST + 'beta = "*"\n')
    workspace.prepare()
    assert current(workspace) == "default-1"
