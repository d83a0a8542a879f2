"""Recipes built with the real builder: in order, only when changed, and never half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rattler
from tests._support.channel_env import Watcher
from tests._support.channel_wheels import Opened

from ai_runner_base.channel import Built, build, load, requirements_of
from ai_runner_base.channel._store import ChannelDir, run
from ai_runner_base.channel.building import build_order
from ai_runner_base.channel.recipes import usable
from ai_runner_base.errors import CallerError, PipelineError

pytestmark = pytest.mark.dist

Make = Callable[..., Path]
SCRIPT = "mkdir -p $PREFIX/share && cp content.txt $PREFIX/share/{name}.txt"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a small recipe that packs one file and needs nothing but a shell."""

    def make(
        name: str, content: str = "one", *, script: str = SCRIPT, extra: str = "", use_hash: bool = True
    ) -> Path:
        folder = tmp_path / "recipes" / name
        folder.mkdir(parents=True, exist_ok=True)
        keys = "\n  variant: {use_keys: [src_hash]}" if use_hash else ""
        (folder / "content.txt").write_text(content)
        (folder / "recipe.yaml").write_text(
            f"package: {{name: {name}, version: '1.0'}}\nsource: {{path: .}}\n"
            f"build:\n  noarch: generic\n  script: ['{script.format(name=name)}']{keys}\n{extra}"
        )
        return folder

    return make


@pytest.fixture
def channel(tmp_path: Path) -> ChannelDir:
    return ChannelDir(tmp_path / "local")


def make_all(
    channel: ChannelDir, *folders: Path, watcher: Watcher | None = None, run_tests: bool = False
) -> Built:
    return build(folders, channel.path, [], watcher, run_tests=run_tests)


def content_of(channel: ChannelDir, name: str) -> str:
    """Read the packed file out of the one package that the index has of a name."""
    index = json.loads((channel.path / "noarch" / "repodata.json").read_text())["packages.conda"]
    (file,) = [file for file, record in index.items() if record["name"] == name]
    return Opened(channel.path / "noarch" / file).data[f"share/{name}.txt"].decode()


def needs(*specs: str, kind: str = "run") -> str:
    return f"requirements: {{{kind}: [{', '.join(specs)}]}}\n"


def test_packages_come_out_indexed_and_readable_for_all(channel: ChannelDir, make: Make) -> None:
    watcher = Watcher()
    done = make_all(channel, make("alpha"), watcher=watcher)
    (name,) = done.made
    assert (channel.path / name).stat().st_mode & 0o777 == 0o644
    assert content_of(channel, "alpha") == "one"
    assert watcher.stages == [("build", "alpha 1.0"), ("index", "1 packages")]
    assert sorted(p.name for p in channel.path.iterdir()) == [".lock", ".state.json", "noarch"]


def test_recipes_that_quote_nothing_are_built_in_a_folder_with_a_space(tmp_path: Path, make: Make) -> None:
    channel = ChannelDir(tmp_path / "L\u00e4ufer eins" / "local")
    make_all(channel, make("beta", extra=needs("alpha", kind="host")), make("alpha"))
    assert [content_of(channel, name) for name in ("alpha", "beta")] == ["one", "one"]
    assert sorted(p.name for p in channel.path.iterdir()) == [".lock", ".state.json", "noarch"]


def test_unchanged_recipes_are_not_built_again(channel: ChannelDir, make: Make) -> None:
    folders = make("alpha"), make("beta")
    make_all(channel, *folders)
    watcher = Watcher()
    assert make_all(channel, *folders, watcher=watcher).made == ()
    assert watcher.stages == []


def test_times_alone_are_no_change(channel: ChannelDir, make: Make) -> None:
    folder = make("alpha")
    make_all(channel, folder)
    os.utime(folder / "content.txt", (1, 1))
    os.utime(folder / "recipe.yaml", (1, 1))
    assert make_all(channel, folder).made == ()
    recorded = channel.read_state()["recipes"][str(folder)]["stat"]
    assert make_all(channel, folder).made == ()
    assert channel.read_state()["recipes"][str(folder)]["stat"] == recorded


def test_an_edit_replaces_the_package_under_another_name_and_back(channel: ChannelDir, make: Make) -> None:
    first = make_all(channel, make("alpha", "one"), make("beta")).made
    second = make_all(channel, make("alpha", "two"), make("beta")).made
    assert len(second) == 1
    assert not set(first) & set(second)
    assert content_of(channel, "alpha") == "two"
    make_all(channel, make("alpha", "one"))
    assert content_of(channel, "alpha") == "one"
    assert content_of(channel, "beta") == "one"


def test_a_recipe_without_the_hash_is_noticed_and_its_record_is_renewed(
    channel: ChannelDir, make: Make
) -> None:
    make_all(channel, make("alpha", "one", use_hash=False))
    watcher = Watcher()
    (name,) = make_all(channel, make("alpha", "two", use_hash=False), watcher=watcher).made
    assert any("src_hash" in note for note in watcher.notes)
    record = json.loads((channel.path / "noarch" / "repodata.json").read_text())["packages.conda"][
        Path(name).name
    ]
    assert record["size"] == (channel.path / name).stat().st_size
    assert content_of(channel, "alpha") == "two"


def test_order_follows_needs_of_every_kind(channel: ChannelDir, make: Make) -> None:
    folders = [
        make("delta", extra=needs("gamma", "alpha")),
        make("gamma", extra=needs("beta", kind="host")),
        make("beta", extra=needs("alpha", kind="build")),
        make("alpha"),
    ]
    assert [recipe.folder.name for recipe in build_order(list(map(load, folders)))] == [
        "alpha",
        "beta",
        "gamma",
        "delta",
    ]
    watcher = Watcher()
    make_all(channel, *folders, watcher=watcher)
    assert watcher.of("build") == ["alpha 1.0", "beta 1.0", "gamma 1.0", "delta 1.0"]


def test_what_a_package_is_built_with_counts_and_what_it_runs_with_does_not(
    channel: ChannelDir, make: Make
) -> None:
    host, runs = make("host-user", extra=needs("alpha", kind="host")), make("runner", extra=needs("alpha"))
    make_all(channel, make("alpha", "one"), host, runs)
    watcher = Watcher()
    make_all(channel, make("alpha", "two"), host, runs, watcher=watcher)
    assert watcher.of("build") == ["alpha 1.0", "host-user 1.0"]


def test_a_circle_is_named(channel: ChannelDir, make: Make) -> None:
    folders = make("alpha", extra=needs("beta")), make("beta", extra=needs("alpha", kind="host"))
    with pytest.raises(
        CallerError, match=r"need each other in a circle: (alpha → beta → alpha|beta → alpha → beta)"
    ):
        make_all(channel, *folders)


def test_a_mistake_in_a_recipe_is_named_with_its_file(channel: ChannelDir, make: Make) -> None:
    folder = make("alpha", extra="pakage: 1\n")
    with pytest.raises(CallerError, match="unknown top-level field 'pakage'") as caught:
        make_all(channel, folder)
    assert str(folder / "recipe.yaml") in caught.value.message


def test_a_folder_without_a_recipe_is_refused(channel: ChannelDir, tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"has no recipe\.yaml"):
        make_all(channel, tmp_path)


def test_a_failing_script_shows_the_end_of_its_log_and_publishes_nothing(
    channel: ChannelDir, make: Make
) -> None:
    good, bad = make("alpha"), make("beta", script="echo about to fail; false")
    with pytest.raises(PipelineError, match=r"beta 1\.0 of .*recipe\.yaml cannot be built") as caught:
        make_all(channel, good, bad)
    assert "about to fail" in caught.value.message
    log = channel.path / ".logs" / "beta.txt"
    assert str(log) in caught.value.hint
    assert "about to fail" in log.read_text()
    assert not channel.is_indexed
    make_all(channel, good, make("beta"))
    assert not log.exists()


def test_a_requirement_that_nobody_has_is_explained_by_the_solver(channel: ChannelDir, make: Make) -> None:
    folder = make("alpha", extra=needs("nonesuch >=3", kind="host"))
    with pytest.raises(PipelineError, match=r"host requirements: .*nonesuch"):
        make_all(channel, folder)


def test_a_package_whose_test_fails_is_not_published(channel: ChannelDir, make: Make) -> None:
    good = "tests:\n  - script: ['test -f $PREFIX/share/alpha.txt']\n"
    make_all(channel, make("alpha", extra=good), run_tests=True)
    bad = "tests:\n  - script: ['echo no such luck; exit 5']\n"
    with pytest.raises(PipelineError, match="no such luck"):
        make_all(channel, make("alpha", "two", extra=bad), run_tests=True)
    assert content_of(channel, "alpha") == "one"


CUDA = (
    "requirements:\n  run:\n    - if: gpu == 'cuda'\n      then: ['__cuda >=12.8', cuda-version]\n"
    "      else: [click]\n"
)


@pytest.fixture
def two_builds(make: Make) -> Path:
    folder = make("alpha", extra=CUDA)
    text = (folder / "recipe.yaml").read_text().replace("[src_hash]", "[src_hash, gpu]")
    (folder / "recipe.yaml").write_text(text)
    (folder / "variants.yaml").write_text('gpu: ["cpu", "cuda"]\n')
    return folder


def test_variants_beside_the_recipe_are_built(channel: ChannelDir, two_builds: Path) -> None:
    assert len(make_all(channel, two_builds).made) == 2
    assert len({output.build for output in load(two_builds).outputs}) == 2


def test_variants_that_the_host_cannot_run_are_left_out(channel: ChannelDir, two_builds: Path) -> None:
    done = build([two_builds], channel.path, [], virtual_packages={"__glibc": "2.36"})
    assert len(done.made) == 1
    recipe = load(two_builds)
    assert [o.depends for o in usable(recipe.outputs, {"__glibc": "2.36"})] == [("click",)]
    wants = requirements_of([recipe], {"__glibc": "2.36"}, asked_by="environment e")
    assert [str(want) for want in wants] == ["environment e → recipe alpha → click"]


def test_a_variant_that_an_index_cannot_feed_gives_way_to_one_that_it_can(two_builds: Path) -> None:
    recipe = load(two_builds)
    assert [o.depends for o in usable(recipe.outputs, {"__cuda": "13.0"})] == [("click",)]
    assert len(usable(recipe.outputs, None)) == 2


def test_needs_of_recipes_are_told_by_group_without_each_other(make: Make) -> None:
    extra = "requirements: {host: [hatchling, beta], run: [click >=8, beta]}\n"
    tested = "tests:\n  - script: [x]\n    requirements: {run: [pytest]}\n"
    recipes = [load(make("alpha", extra=extra + tested)), load(make("beta"))]
    assert [(want.group, str(want)) for want in requirements_of(recipes)] == [
        ("", "recipe alpha → click >=8"),
        ("build alpha", "recipe alpha → build → hatchling"),
    ]
    assert "pytest" in {want.spec for want in requirements_of(recipes, with_tests=True)}


def test_solvers_take_the_channel(channel: ChannelDir, make: Make) -> None:
    make_all(channel, make("alpha"), make("beta", extra=needs("alpha")))
    found = run(rattler.solve(sources=[channel.url], specs=["beta"], gateway=rattler.Gateway()))
    assert sorted(record.name.normalized for record in found) == ["alpha", "beta"]


KILLED = """
import sys
from pathlib import Path
from ai_runner_base.channel import build
build([Path(sys.argv[2])], Path(sys.argv[1]), [])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stop_in_the_middle_leaves_the_old_channel(
    channel: ChannelDir, make: Make, number: signal.Signals
) -> None:
    make_all(channel, make("alpha", "one"))
    fifo = channel.path.parent / "started"
    os.mkfifo(fifo)
    folder = make("alpha", "two", script=f"echo go > {fifo}; sleep 60")
    command = [sys.executable, "-c", KILLED, str(channel.path), str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    assert fifo.read_text() == "go\n"
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(30) != 0
    assert content_of(channel, "alpha") == "one"
    assert len(make_all(channel, make("alpha", "three")).made) == 1
    assert content_of(channel, "alpha") == "three"
    assert list(channel.path.glob(".work-*")) == []
