"""What a ``recipe.yaml`` would give: its packages, what they need, and the files that decide it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai_runner_base.errors import CallerError

from . import names
from ._sources import Source
from ._wants import Want

if TYPE_CHECKING:
    from rattler_build import RenderedVariant


_RECIPE_FILES = ("recipe.yaml", "variants.yaml")
SOURCE_HASH = "src_hash"
"""Variant key under ``build.variant.use_keys``: by it, an edited source gets another build string."""


@dataclass(frozen=True, slots=True)
class Output:
    """One package of a recipe, in one of its variants.

    :param depends: run requirements, virtual packages included; of pins to siblings, the name only
    :param host: host requirements
    :param build_tools: build requirements
    :param tested_with: what its tests ask for beyond that
    """

    name: str
    version: str
    build: str
    depends: tuple[str, ...]
    constrains: tuple[str, ...]
    host: tuple[str, ...]
    build_tools: tuple[str, ...]
    tested_with: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe folder, rendered.

    :param folder: absolute path
    :param outputs: in the order in which they must be built, all variants
    :param sources: the folder itself first
    :param stamp: changes when the recipe's own files do
    """

    folder: Path
    outputs: tuple[Output, ...]
    sources: tuple[Source, ...]
    stamp: str

    @property
    def names(self) -> frozenset[str]:
        """Names of its packages."""
        return frozenset(output.name for output in self.outputs)

    @property
    def file(self) -> Path:
        """The ``recipe.yaml``."""
        return self.folder / "recipe.yaml"

    def to_json(self) -> dict[str, Any]:
        """Give a form for the state file."""
        outputs = [asdict(output) for output in self.outputs]
        return {"outputs": outputs, "sources": [s.to_json() for s in self.sources], "stamp": self.stamp}


def load(folder: Path, known: Mapping[str, Any] | None = None) -> Recipe:
    """Read and render a recipe, with a placeholder for the hash of its sources.

    :param known: what `Recipe.to_json` gave earlier; used instead while the recipe's files are unchanged
    :raises CallerError: no recipe, or one with a mistake; names file and mistake
    """
    folder = folder.resolve()
    stamp = _stamp(folder)
    if known and known.get("stamp") == stamp:
        outputs = tuple(_output(data) for data in known["outputs"])
        return Recipe(folder, outputs, tuple(map(Source.from_json, known["sources"])), stamp)
    rendered = render(folder, "0" * 8)
    return Recipe(folder, tuple(map(describe, rendered)), _sources(folder, rendered), stamp)


def _output(data: Mapping[str, Any]) -> Output:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Output(**values)


def _stamp(folder: Path) -> str:
    found = [path.stat() for name in _RECIPE_FILES if (path := folder / name).is_file()]
    if not (folder / "recipe.yaml").is_file():
        raise CallerError(
            f"{folder} has no recipe.yaml", hint="a recipe is a folder with a recipe.yaml in it"
        )
    return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in found)


def render(folder: Path, src_hash: str) -> list[RenderedVariant]:
    """Render all variants of a recipe; ``variants.yaml`` beside it is honoured.

    :raises CallerError: a mistake in the recipe
    """
    from rattler_build import RattlerBuildError, Stage0Recipe, VariantConfig

    variants = VariantConfig({SOURCE_HASH: [src_hash]})
    try:
        if (folder / "variants.yaml").is_file():
            variants = variants.merge(VariantConfig.from_file(folder / "variants.yaml"))
        return list(Stage0Recipe.from_file(folder / "recipe.yaml").render(variants))
    except RattlerBuildError as error:
        raise CallerError(f"{folder / 'recipe.yaml'}: {str(error).strip()}") from error


def describe(rendered: RenderedVariant) -> Output:
    """Give what matters of a rendered variant."""
    recipe = rendered.recipe
    data = recipe.to_dict()
    needs = data.get("requirements") or {}
    return Output(
        name=recipe.package.name,
        version=recipe.package.version,
        build=str(recipe.build.string),
        depends=tuple(_specs(needs.get("run"))),
        constrains=tuple(_specs(needs.get("run_constraints"))),
        host=tuple(_specs(needs.get("host"))),
        build_tools=tuple(_specs(needs.get("build"))),
        tested_with=tuple(_test_specs(data.get("tests") or ())),
    )


def _specs(entries: Iterable[Any] | None) -> Iterator[str]:
    """Give match specs; of a pin, the name: its version is known only when the other package is built."""
    for entry in entries or ():
        if isinstance(entry, str):
            yield entry
        else:
            yield from (str(pin["name"]) for pin in entry.values() if isinstance(pin, Mapping))


def _test_specs(tests: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for test in tests:
        needs = test.get("requirements") or {}
        yield from _specs(needs.get("run"))
        yield from _specs(needs.get("build"))
        if "python" in test:
            yield "pip"


def _sources(folder: Path, rendered: Sequence[RenderedVariant]) -> tuple[Source, ...]:
    found = {Source(str(folder)): None}
    for variant in rendered:
        for source in variant.recipe.sources:
            data = source.to_dict()
            if "path" not in data:
                continue  # an archive or a commit, whose hash stands in the recipe
            rules = data.get("filter") or ()
            include = rules["include"] if isinstance(rules, Mapping) else rules
            exclude = rules.get("exclude", ()) if isinstance(rules, Mapping) else ()
            root = str((folder / data["path"]).resolve())
            found[Source(root, tuple(include), tuple(exclude), data.get("use_gitignore", True))] = None
    return tuple(found)


def usable(outputs: Sequence[Output], virtual_packages: Mapping[str, str] | None) -> list[Output]:
    """Leave out variants that this host cannot run, or that a Python index cannot feed while another can be.

    :param virtual_packages: what the host provides; None takes all variants
    """
    if virtual_packages is None:
        return list(outputs)
    able = [output for output in outputs if _runs(output, virtual_packages)] or list(outputs)
    fed = {output.name for output in able if not _conda_only(output)}
    return [output for output in able if output.name not in fed or not _conda_only(output)]


def _runs(output: Output, virtual_packages: Mapping[str, str]) -> bool:
    return all(_is_met(text, virtual_packages) for text in output.depends if names.is_virtual(text))


def _is_met(text: str, virtual_packages: Mapping[str, str]) -> bool:
    """Say whether the host has a virtual package; those that nobody looked for are assumed, but CUDA."""
    from rattler import MatchSpec, Version, VersionSpec

    spec = MatchSpec(text, strict=False)
    have = virtual_packages.get(text.split()[0])
    if have is None:
        return not text.startswith("__cuda")
    return spec.version is None or VersionSpec(str(spec.version)).matches(Version(have))


def _conda_only(output: Output) -> bool:
    return any(names.is_conda_only(text.split()[0]) and not names.is_virtual(text) for text in output.depends)


def requirements_of(
    recipes: Sequence[Recipe],
    virtual_packages: Mapping[str, str] | None = None,
    *,
    asked_by: str = "",
    with_tests: bool = False,
) -> tuple[Want, ...]:
    """Give what recipes need of others: to run (one group), to be built (one group for each recipe).

    :param virtual_packages: leaves out variants that cannot be used (see `usable`)
    :param asked_by: who wants the recipes, for messages
    :param with_tests: also what their tests need
    """
    ours = {name for recipe in recipes for name in recipe.names}
    wants: dict[Want, None] = {}
    for recipe in recipes:
        label = f"recipe {recipe.folder.name}"
        chain = (asked_by, label) if asked_by else (label,)
        for output in usable(recipe.outputs, virtual_packages):
            to_run = (*output.depends, *(output.tested_with if with_tests else ()))
            wants |= dict.fromkeys(Want(spec, chain) for spec in to_run)
            to_build = (*output.host, *output.build_tools)
            wants |= dict.fromkeys(
                Want(spec, (*chain, "build"), f"build {recipe.folder.name}") for spec in to_build
            )
    return tuple(want for want in wants if want.spec.split()[0] not in ours)
