"""What is wanted of a mirror, in both worlds' terms: as a solver and as a Python index are asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rattler import MatchSpec, Version, VersionSpec

from ai_runner_base.errors import CallerError, HostError

from . import names, versions
from ._wants import Want
from .host_python import HostPython

# Wherever there is a Python, conda and recipes expect these.
_ALWAYS = ("python", "pip")
_SUPPLIED = frozenset({"python", "python_abi"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One package as both worlds say it.

    :param conda: strict match spec, as solvers take it
    :param name: conda name, aliases followed
    :param alias: the conda name as wanted, where it is a second spelling
    :param pypi: PyPI project, or None where the host supplies the package
    :param requirement: PEP 508, or None
    :param build: build string that is wanted, as a glob
    """

    want: Want
    conda: str
    name: str
    alias: str | None
    pypi: str | None
    requirement: str | None
    build: str | None


def translate(wants: Sequence[Want], python: HostPython) -> dict[str, tuple[Ask, ...]]:
    """Say in both worlds' terms what is wanted, by group.

    :raises HostError: names every package that a Python index cannot supply, who wants it, and the ways out
    """
    groups: dict[str, list[Ask]] = {}
    missing: list[Want] = []
    for want in (*wants, *_for_every_group(wants)):
        spec = MatchSpec(want.spec, strict=False)
        name = _name(spec)
        if names.is_virtual(name):
            continue
        if name not in _SUPPLIED and names.to_pypi(name) is None:
            missing.append(want)
            continue
        groups.setdefault(want.group, []).append(_ask(want, spec, name, python))
    if missing:
        raise _not_suppliable(missing)
    return {group: tuple(asks) for group, asks in groups.items()}


def _for_every_group(wants: Iterable[Want]) -> Iterator[Want]:
    for group in sorted({want.group for want in wants}):
        yield from (Want(name, (), group) for name in _ALWAYS)


def _name(spec: MatchSpec) -> str:
    if spec.name is None or not hasattr(spec.name, "normalized"):
        raise CallerError(f"match spec {str(spec)!r} names no package")
    return str(spec.name.normalized)


def _ask(want: Want, spec: MatchSpec, name: str, python: HostPython) -> Ask:
    version = str(spec.version or "*")
    build = str(spec.build) if spec.build else names.ALIAS_BUILDS.get(name)
    canonical = names.canonical(name)
    conda = " ".join(filter(None, (name, version, str(spec.build) if spec.build else None)))
    if name in _SUPPLIED:
        _check_python(want, name, version, python)
        return Ask(want, conda, name, None, None, None, None)
    pypi = names.to_pypi(name)
    requirement = f"{pypi}{versions.to_pep440(version)}"
    return Ask(want, conda, canonical, name if name != canonical else None, pypi, requirement, build)


def _check_python(want: Want, name: str, version: str, python: HostPython) -> None:
    have = python.version if name == "python" else python.minor
    if not VersionSpec(version).matches(Version(have)):
        raise HostError(
            f"{want}: the mirror's Python is this machine's, {have} ({python.executable})",
            hint="start again with another interpreter, or use pixi with conda-forge",
        )


def _not_suppliable(missing: Sequence[Want]) -> HostError:
    unique = sorted({_name(MatchSpec(want.spec, strict=False)) for want in missing})
    count = "a package" if len(unique) == 1 else f"{len(unique)} packages"
    other = {name: names.to_conda(name) for name in unique if names.to_conda(name) != name}
    renamed = [f"the Python project {name} is called {conda} there" for name, conda in other.items()]
    return HostError(
        f"{count} of conda-forge cannot come from a Python index: {', '.join(unique)}; wanted by "
        + "; ".join([*dict.fromkeys(map(str, missing)), *renamed]),
        hint="use pixi where conda-forge can be reached, or another environment; "
        "if a Python project provides it, add the pair to ai_runner_base.channel.names",
    )


def constraint_lines(constraints: Iterable[str]) -> list[str]:
    """Say match specs as pip constraints; what pip cannot express is left to the solver."""
    lines = []
    for text in constraints:
        spec = MatchSpec(text, strict=False)
        name = _name(spec)
        pypi = None if names.is_virtual(name) or name in _SUPPLIED else names.to_pypi(name)
        if pypi is None or spec.version is None:
            continue
        try:
            lines.append(f"{pypi}{versions.to_pep440(str(spec.version))}")
        except CallerError:
            continue
    return sorted(set(lines))


def strict(constraints: Iterable[str]) -> list[str]:
    """Give match specs in the form that strict parsers take, without channels."""
    specs = [MatchSpec(text, strict=False) for text in constraints]
    return [" ".join(filter(None, (_name(s), str(s.version or "*"), str(s.build or "")))) for s in specs]


def who_wants(asks: Mapping[str, Sequence[Ask]], pypi_name: str) -> str:
    """Give the chains that lead to a PyPI project, or an empty text."""
    found = [
        str(ask.want) for group in asks.values() for ask in group if ask.pypi == pypi_name and ask.want.chain
    ]
    return "; ".join(dict.fromkeys(found))
