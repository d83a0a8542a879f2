"""Mirrors of a small closed index, made with the real pip, the real indexer and the real solver."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import rattler
from packaging.version import Version
from tests._support.channel_env import PYTHON, Watcher, World, closed_world

from ai_runner_base.channel import HostPython, Want, _pip, _store, mirror
from ai_runner_base.channel._store import ChannelDir, run
from ai_runner_base.errors import CallerError, HostError

pytestmark = pytest.mark.dist


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return closed_world(tmp_path, monkeypatch)


def solve(channel: Path, *specs: str) -> dict[str, str]:
    """Solve against a mirror as it is on disk; gives versions and build strings by name."""
    records = run(
        rattler.solve(
            sources=[channel.as_uri()],
            specs=list(specs),
            virtual_packages=[p.into_generic() for p in rattler.VirtualPackage.detect()],
            gateway=rattler.Gateway(),
        )
    )
    return {r.name.normalized: f"{r.version} {r.build}" for r in records}


def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a process was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def test_the_closure_is_there_and_solves(world: World) -> None:
    world.offer("base-lib", "1.2")
    world.offer("app", "2.0", requires=["base-lib>=1"], scripts={"app": "app:main"})
    done = world.mirror("app >=1", f"python {PYTHON.minor}.*")
    assert world.packages() == ["app-2.0", "base-lib-1.2"]
    assert done.url == world.channel.as_uri()
    assert done.fetched_bytes > 0
    found = solve(world.channel, "app")
    assert found.keys() == {"app", "base-lib", "python"}
    assert found["python"].startswith(f"{PYTHON.version} hostlink_")
    assert set(world.watcher.of("convert")) == {"app 2.0", "base-lib 1.2", "pip 24.0"}


def test_the_same_again_starts_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.offer("app")
    world.mirror("app")
    no_processes(monkeypatch)
    assert world.mirror("app").made == ()
    assert world.watcher.stages == []


def test_what_the_channel_satisfies_needs_no_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.offer("base-lib", "1.2")
    world.offer("app", requires=["base-lib"])
    world.mirror("app")
    no_processes(monkeypatch)
    assert world.mirror("base-lib >=1,<2", constraints=["app <3"]).made == ()


def test_a_missing_file_is_noticed(world: World) -> None:
    world.offer("app")
    world.mirror("app")
    next(world.channel.glob("noarch/app-*.conda")).unlink()
    assert [Path(name).stem.rsplit("-", 1)[0] for name in world.mirror("app", refresh=True).made] == [
        "app-1.0"
    ]
    assert solve(world.channel, "app")["app"].startswith("1.0 ")


def test_newer_versions_come_on_request_and_older_ones_stay(world: World) -> None:
    world.offer("app", "1.0")
    world.mirror("app")
    world.offer("app", "1.1")
    assert world.mirror("app").made == ()
    assert [Path(name).name.rsplit("-", 1)[0] for name in world.mirror("app", refresh=True).made] == [
        "app-1.1"
    ]
    assert world.watcher.of("convert") == ["app 1.1"]
    assert world.packages() == ["app-1.0", "app-1.1"]
    assert solve(world.channel, "app <1.1")["app"].startswith("1.0 ")


def test_constraints_bind_what_something_else_wants(world: World) -> None:
    for version in ("1.0", "2.0"):
        world.offer("base-lib", version)
    world.offer("app", requires=["base-lib"])
    world.mirror("app", constraints=["base-lib <2", "cuda-version >=12"])
    assert world.packages() == ["app-1.0", "base-lib-1.0"]


def test_another_interpreter_replaces_the_link_and_keeps_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.offer("app")
    world.mirror("app")
    no_processes(monkeypatch)
    other = dataclasses.replace(PYTHON, build="compiled on another day")
    made = world.mirror("app", python=other).made
    assert [Path(name).name.split("_")[0] for name in made] == [f"python-{PYTHON.version}-hostlink"]
    assert [path.name.split("_")[1] for path in world.channel.glob("*/python-*.conda")] == [other.tag]
    assert solve(world.channel, "python")["python"].split("_")[1] == other.tag


def test_groups_that_exclude_each_other_both_come(world: World) -> None:
    for version in ("1.0", "2.0"):
        world.offer("base-lib", version)
    world.mirror(Want("base-lib <2", group="run"), Want("base-lib >=2", group="build"))
    assert world.packages() == ["base-lib-1.0", "base-lib-2.0"]


def test_requirements_of_one_group_that_exclude_each_other_are_explained(world: World) -> None:
    world.offer("base-lib", "2.0")
    world.offer("app", requires=["base-lib<2"])
    world.offer("base-lib", "1.0")
    with pytest.raises(HostError, match="no set of versions") as caught:
        world.mirror("app", "base-lib >=2")
    assert "base-lib" in caught.value.message
    assert not ChannelDir(world.channel).is_indexed


def test_a_package_that_the_index_lacks_is_named_with_who_wants_it(world: World) -> None:
    with pytest.raises(HostError, match=r"no wheel of nowhere>=3 for Python") as caught:
        world.mirror(Want("nowhere >=3", ("environment test", "recipe thing")))
    assert "wanted by environment test → recipe thing → nowhere >=3" in caught.value.message
    assert "pip wheel nowhere" in caught.value.hint


def test_a_package_that_others_need_is_named_with_the_other(world: World) -> None:
    world.offer("app", requires=["nowhere>=3"])
    with pytest.raises(HostError, match=r"no wheel of nowhere>=3 \(from app"):
        world.mirror("app")


def test_a_project_with_sources_only_has_a_way_out(world: World) -> None:
    (world.wheels / "onlysource-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(HostError, match="no wheel of onlysource") as caught:
        world.mirror("onlysource")
    assert "pip wheel onlysource -w DIR" in caught.value.hint
    assert "PIP_FIND_LINKS=DIR" in caught.value.hint


def test_an_index_out_of_reach_is_no_missing_package(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(HostError, match="no Python index could be reached"):
        world.mirror("app")


def test_what_only_conda_has_is_refused_before_anything_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_processes(monkeypatch)
    with pytest.raises(HostError, match="cannot come from a Python index: ffmpeg"):
        world.mirror("ffmpeg", "app")
    assert not world.channel.exists()


def test_extras_are_packed_with_those_who_want_them(world: World) -> None:
    world.offer("speedups", "1.0")
    world.offer("server", "3.0", requires=['speedups; extra == "fast"'], headers=["Provides-Extra: fast"])
    world.offer("app", requires=["server[fast]>=2"])
    world.mirror("app")
    assert solve(world.channel, "app").keys() == {"app", "server", "speedups", "python"}


def test_torch_without_cuda_is_the_cpu_build_even_if_the_other_is_newer(world: World) -> None:
    tag = f"cp{PYTHON.minor.replace('.', '')}-none-linux_x86_64"
    world.offer("torch", "2.14.0", tag=tag, requires=["nvidia-cuda-runtime-cu12"])
    world.offer("nvidia-cuda-runtime-cu12", "12.8")
    world.offer("torch", "2.13.0+cpu", tag=tag)
    world.mirror("pytorch >=2.6")
    assert world.packages() == ["pytorch-2.13.0"]
    assert solve(world.channel, "pytorch >=2.13.0 cpu*")["pytorch"].startswith("2.13.0 cpu_py")


def test_a_build_that_is_not_on_offer_is_explained(world: World) -> None:
    tag = f"cp{PYTHON.minor.replace('.', '')}-none-linux_x86_64"
    world.offer("torch", "2.13.0+cpu", tag=tag)
    with pytest.raises(HostError, match="does not satisfy all that is wanted") as caught:
        world.mirror("pytorch >=2.6 cuda*")
    assert "cuda*" in caught.value.hint


def test_a_second_spelling_is_an_empty_package_that_depends_on_the_first(world: World) -> None:
    world.offer("opencv-python-headless", "4.10")
    world.mirror("opencv >=4.9")
    found = solve(world.channel, "opencv")
    assert found["py-opencv"].startswith("4.10 ")
    assert found["opencv"].startswith("4.10 ")


def test_alternatives_are_refused_by_name(world: World) -> None:
    with pytest.raises(CallerError, match="alternatives"):
        world.mirror("app 1.*|2.*")


def test_two_at_once_fetch_once(world: World) -> None:
    world.offer("app")
    watchers = [Watcher(), Watcher()]

    def work(watcher: Watcher) -> None:
        mirror([Want("app")], world.channel, PYTHON, watcher)

    threads = [threading.Thread(target=work, args=(watcher,)) for watcher in watchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(len(watcher.of("resolve")) for watcher in watchers) == [0, 1]
    assert any("waiting for another process" in note for watcher in watchers for note in watcher.notes)
    assert world.packages() == ["app-1.0"]


def test_a_stop_in_the_middle_of_publishing_leaves_the_old_channel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.offer("app", "1.0")
    world.mirror("app")
    world.offer("app", "1.1")

    def stop(self: ChannelDir, staging: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_store.ChannelDir, "_replace_index", stop)
        with pytest.raises(KeyboardInterrupt):
            world.mirror("app", refresh=True)
    assert solve(world.channel, "app")["app"].startswith("1.0 ")
    world.mirror("app", refresh=True)
    assert solve(world.channel, "app")["app"].startswith("1.1 ")
    assert list(world.channel.glob(".work-*")) == []


KILLED = """
import sys
from pathlib import Path
from ai_runner_base.channel import HostPython, Want, mirror, wheels
from ai_runner_base.channel import mirroring

def stuck(*arguments):
    print("converting", flush=True)
    sys.stdin.read()

mirroring.wheels.convert = stuck
mirror([Want("app")], Path(sys.argv[1]), HostPython.current())
"""


def test_kill_9_leaves_nothing_that_matters(world: World) -> None:
    world.offer("app", "1.0")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(world.channel)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "converting\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    process.stdin.close()
    assert not ChannelDir(world.channel).is_indexed
    assert list(world.channel.glob(".work-*")) != []
    world.mirror("app")
    assert list(world.channel.glob(".work-*")) == []
    assert solve(world.channel, "app")["app"].startswith("1.0 ")


def test_a_damaged_state_or_index_is_made_again(world: World) -> None:
    world.offer("app")
    world.mirror("app")
    (world.channel / ".state.json").write_text("{ damaged")
    (world.channel / "noarch" / "repodata.json").write_text("{ damaged")
    world.mirror("app", refresh=True)
    assert solve(world.channel, "app")["app"].startswith("1.0 ")
    assert json.loads((world.channel / "noarch" / "repodata.json").read_text())["packages.conda"]


def test_nothing_to_do_takes_milliseconds(world: World) -> None:
    """Not a benchmark: an order of magnitude above what it takes, to notice a solver or a process on the way."""
    world.offer("app")
    world.mirror("app")
    started = time.perf_counter()
    world.mirror("app")
    assert time.perf_counter() - started < 0.1


def test_another_installed_interpreter_gets_its_own_wheels(world: World) -> None:
    other = Path("/usr/bin/python3")
    if not other.exists() or HostPython.inspect(other).tag == PYTHON.tag:
        pytest.skip("there is no second interpreter in /usr/bin")
    python = HostPython.inspect(other)
    world.offer("app")
    world.mirror("app", python=python)
    assert solve(world.channel, "app", f"python {python.minor}.*")["python"].startswith(python.version)


RELAY = b"""
import os, runpy, sys
from pathlib import Path
Path(os.environ["RELAYED"]).write_text(" ".join(sys.argv))
sys.path.pop(0)
sys.argv[1:] = ["off" if word == "raw" else word for word in sys.argv[1:]]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def test_an_old_pip_is_used_once_to_fetch_a_newer_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pip, "_own_version", lambda: Version("20.0"))
    monkeypatch.setenv("RELAYED", str(tmp_path / "relayed"))
    world.offer("pip", "99.0", files={"pip/__main__.py": RELAY})
    world.offer("app")
    world.mirror("app")
    assert "download --only-binary=:all:" in (tmp_path / "relayed").read_text()
    assert [path.name for path in (world.channel / ".tools").iterdir()] == ["pip-99.0-py3-none-any.whl"]
    assert "app-1.0" in world.packages()


def test_a_damaged_wheel_stops_everything_and_leaves_no_channel(world: World) -> None:
    world.offer("app", requires=["broken"])
    world.offer("broken", files={"broken/data.txt": b"x"}, wrong_hash_of="broken/data.txt")
    with pytest.raises(HostError, match=r"broken-1\.0-py3-none-any\.whl is damaged"):
        world.mirror("app")
    assert not ChannelDir(world.channel).is_indexed
