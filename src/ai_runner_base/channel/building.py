"""Build recipes into a local channel: in order, only what changed, and published only when all is well.

A recipe is built again when its files, its sources, the interpreter's minor version or a package of this
repository that it is built with have changed. Times and sizes of files are looked at first; their content
decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ai_runner_base.errors import CallerError

from ._explain import BuildLog, build_failure
from ._protocols import Reporter, Silent
from ._sources import content_key, stat_key
from ._store import ChannelDir
from .conda_writer import Package
from .recipes import SOURCE_HASH, Output, Recipe, describe, load, render, usable

if TYPE_CHECKING:
    from rattler_build import RenderedVariant
    from rattler_build.progress import ProgressCallback

Finish = Callable[[Package, Sequence[str]], Package]
"""Gets a package that was built (and tested), and the channels that have it and what it needs; gives what is kept."""

_FORMAT = 1
_HASH_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` did.

    :param url: of the channel
    :param made: packages that were built now, as ``SUBDIR/STEM.conda``
    """

    url: str
    made: tuple[str, ...] = ()


def build(
    folders: Sequence[Path],
    channel_dir: Path,
    channels: Sequence[str],
    reporter: Reporter | None = None,
    *,
    virtual_packages: Mapping[str, str] | None = None,
    run_tests: bool = False,
    fingerprint: str = "",
    finish: Finish | None = None,
) -> Built:
    """Make sure that a channel holds the current packages of recipes.

    :param folders: recipe folders, in any order
    :param channels: URLs of the channels that supply everything else, in priority order
    :param virtual_packages: leaves out variants that this host cannot use (`recipes.usable`); None builds all
    :param run_tests: run the tests of what is built; packages that fail are not published
    :param fingerprint: of whatever else the packages depend on, such as the interpreter
    :param finish: is called with each package before it is published, and may refuse it by raising
    :raises CallerError: a mistake in a recipe, or recipes that need each other
    :raises PipelineError: a build or a test failed, with the end of its log
    """
    channel = ChannelDir(channel_dir)
    job = _Job(
        channel, tuple(channels), reporter or Silent(), virtual_packages, run_tests, fingerprint, finish
    )
    if all(todo.is_current and todo.is_recorded for todo in job.plan(folders)):
        return Built(channel.url)
    with channel.lock(job.reporter):
        return job.run(job.plan(folders))


def packages_of(folder: Path, channel_dir: Path) -> list[Path]:
    """Name the package files that `build` has put into a channel for a recipe."""
    channel = ChannelDir(channel_dir)
    entry = channel.read_state().get("recipes", {}).get(str(folder.resolve()), {})
    return [channel.path / name for name in entry.get("files", ())]


def build_order(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Sort recipes so that each comes after those whose packages it needs to be built or to run.

    :raises CallerError: recipes that need each other, named in a circle
    """
    owner = {name: recipe for recipe in recipes for name in recipe.names}
    by_folder = {recipe.folder: recipe for recipe in recipes}
    graph = {recipe.folder: {o.folder for o in _needed(recipe, owner)} for recipe in recipes}
    try:
        return [by_folder[folder] for folder in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " → ".join(folder.name for folder in reversed(error.args[1]))
        raise CallerError(f"recipes need each other in a circle: {circle}") from error


def _needed(recipe: Recipe, owner: Mapping[str, Recipe], *, to_build: bool = False) -> list[Recipe]:
    specs = [s for o in recipe.outputs for s in (*o.host, *o.build_tools, *(() if to_build else o.depends))]
    found = {name: owner[name] for spec in specs if (name := spec.split()[0]) in owner}
    return [found[name] for name in sorted(found) if found[name] is not recipe]


@contextlib.contextmanager
def _without_spaces(work: Path) -> Iterator[Path]:
    """Give a folder whose path no shell splits: recipes everywhere write ``${{ PYTHON }}`` without quotes.

    Another one than ``work`` where that has a space; the builder follows links, so it is no link.
    """
    if not re.search(r"\s", str(work)):
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="ai-runner-build-") as elsewhere:
        yield Path(elsewhere)


def _beside(package: Package, work: Path) -> Package:
    """Give a package in the channel's own file system, from which it can be moved in one step."""
    if package.path.is_relative_to(work):
        return package
    path = work / package.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(package.path, path)
    return replace(package, path=path)


@dataclass(frozen=True, slots=True)
class _Todo:
    """A recipe, and what has to be done about it.

    :param src_hash: of everything that decides its packages
    :param is_current: the channel holds the packages of that hash
    :param is_recorded: the state holds the times and sizes that its files have now
    """

    recipe: Recipe
    src_hash: str
    content: str
    stat: str
    skipped: tuple[str, ...]
    is_current: bool
    is_recorded: bool

    def entry(self, files: Sequence[str]) -> dict[str, Any]:
        """Give what is kept in the state."""
        keys = {"src_hash": self.src_hash, "content": self.content, "stat": self.stat}
        return {**self.recipe.to_json(), **keys, "skipped": list(self.skipped), "files": list(files)}


@dataclass(frozen=True)
class _Job:
    channel: ChannelDir
    channels: tuple[str, ...]
    reporter: Reporter
    virtual_packages: Mapping[str, str] | None
    run_tests: bool
    fingerprint: str
    finish: Finish | None = None

    def _known(self) -> dict[str, Any]:
        return dict(self.channel.read_state().get("recipes", {}))

    def plan(self, folders: Sequence[Path]) -> list[_Todo]:
        """Give the recipes in build order, each with the hash that it should have."""
        known = self._known()
        recipes = [load(folder, known.get(str(folder.resolve()))) for folder in dict.fromkeys(folders)]
        owner = {name: recipe for recipe in recipes for name in recipe.names}
        todos: dict[Path, _Todo] = {}
        for recipe in build_order(recipes):
            inner = [todos[needed.folder].src_hash for needed in _needed(recipe, owner, to_build=True)]
            todos[recipe.folder] = self._look(recipe, known.get(str(recipe.folder), {}), inner)
        return list(todos.values())

    def _look(self, recipe: Recipe, known: Mapping[str, Any], inner: Sequence[str]) -> _Todo:
        stat = stat_key(recipe.sources)
        is_recorded = stat == known.get("stat")
        content = str(known["content"]) if is_recorded else content_key(recipe.sources)
        able = usable(recipe.outputs, self.virtual_packages)
        skipped = tuple(output.build for output in recipe.outputs if output not in able)
        parts = json.dumps([_FORMAT, content, self.fingerprint, inner])
        src_hash = hashlib.sha256(parts.encode()).hexdigest()[:_HASH_DIGITS]
        files = known.get("files", [])
        same = src_hash == known.get("src_hash") and list(skipped) == known.get("skipped")
        is_current = same and self.channel.is_indexed and all(file in self.channel for file in files)
        return _Todo(recipe, src_hash, content, stat, skipped, is_current, is_recorded)

    def run(self, todos: Sequence[_Todo]) -> Built:
        """Build what is not current and publish it; a failure publishes nothing."""
        known = {
            folder: entry for folder, entry in self._known().items() if Path(folder, "recipe.yaml").is_file()
        }
        with self.channel.work_dir() as work, _without_spaces(work) as place:
            changed = [todo for todo in todos if not todo.is_current]
            built = {todo.recipe.folder: self._build(todo, place / "out") for todo in changed}
            made = {folder: [_beside(package, work) for package in new] for folder, new in built.items()}
            packages = [package for several in made.values() for package in several]
            for todo in todos:
                folder = str(todo.recipe.folder)
                new = [package.file_name for package in made.get(todo.recipe.folder, ())]
                known[folder] = todo.entry(known[folder]["files"] if todo.is_current else new)
            kept = {file for entry in known.values() for file in entry["files"]}
            if packages:
                self.channel.publish(packages, kept.__contains__, self.reporter)
        self.channel.write_state({"recipes": known})
        return Built(self.channel.url, tuple(package.file_name for package in packages))

    def _build(self, todo: _Todo, out: Path) -> list[Package]:
        rendered = [(variant, describe(variant)) for variant in render(todo.recipe.folder, todo.src_hash)]
        able = usable([output for _, output in rendered], self.virtual_packages)
        packages: list[Package] = []
        for variant, output in rendered:
            if output in able:
                self._check_hash_is_used(variant, output)
                with self.reporter.step("build", f"{output.name} {output.version}"):
                    packages += self._run(variant, output, todo.recipe.file, out)
        return packages

    def _check_hash_is_used(self, variant: RenderedVariant, output: Output) -> None:
        if SOURCE_HASH not in variant.variant:
            self.reporter.note(
                f"{output.name}: its recipe does not list {SOURCE_HASH} under build.variant.use_keys, so an "
                "edited source gives another package of the same file name, which caches may confuse"
            )

    def _run(self, variant: RenderedVariant, output: Output, file: Path, out: Path) -> list[Package]:
        from rattler_build import RattlerBuildError, ToolConfiguration

        own = [self.channel.url] if self.channel.is_indexed else []
        channels = [*own, *self.channels]
        log = BuildLog(self.channel.path / ".logs" / f"{output.name}.txt", self.reporter)
        tools = ToolConfiguration(test_strategy="native" if self.run_tests else "skip")
        try:
            result = variant.run_build(
                output_dir=out,
                channels=channels,
                tool_config=tools,
                progress_callback=cast("ProgressCallback", log),
            )
        except RattlerBuildError as error:
            raise build_failure(error, file, output, log, [out.as_uri(), *channels]) from error
        log.discard()
        for path in result.packages:
            path.chmod(0o644)  # it writes them for the owner's eyes only
        return [self._finished(Package(path), [out.as_uri(), *channels]) for path in result.packages]

    def _finished(self, package: Package, channels: Sequence[str]) -> Package:
        return self.finish(package, channels) if self.finish is not None else package
