"""What a Python project requires, as conda dependencies of one target interpreter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ai_runner_base.errors import HostError

from . import names, versions

RequirementsOf = Callable[[str], Sequence[Requirement]]
"""Gives the requirements of another project of the same closure, by canonical PyPI name."""

_OF_PYTHON = re.compile(r"python_version|python_full_version|implementation_version")
_MINORS = tuple(f"3.{minor}" for minor in range(9, 21))


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What was found.

    :param specs: conda match specs, sorted, without ``python``
    :param python_bound: a marker looked at Python's version, so the list is right for one minor version only
    """

    specs: tuple[str, ...]
    python_bound: bool


def dependencies(
    project: str,
    requirements: Sequence[Requirement],
    environment: Mapping[str, str],
    requirements_of: RequirementsOf,
) -> Dependencies:
    """Translate a project's requirements, extras of others included.

    Conda has no extras: ``uvicorn[standard]`` becomes ``uvicorn`` and everything that its extra adds.

    :param project: canonical PyPI name, for messages
    :param environment: marker values of the target interpreter (`HostPython.markers`)
    :raises HostError: a direct reference (``name @ url``), which conda cannot express
    """
    walk = _Walk(environment, requirements_of)
    specs = set(walk.specs(project, requirements, frozenset()))
    return Dependencies(tuple(sorted(specs)), walk.python_bound)


class _Walk:
    def __init__(self, environment: Mapping[str, str], requirements_of: RequirementsOf) -> None:
        self._environment = dict(environment)
        self._requirements_of = requirements_of
        self._seen: set[tuple[str, str]] = set()
        self.python_bound = False

    def specs(
        self, project: str, requirements: Sequence[Requirement], extras: frozenset[str]
    ) -> Iterator[str]:
        for requirement in requirements:
            if not self._wanted(requirement, extras):
                continue
            if requirement.url:
                raise HostError(
                    f"{project} requires {requirement}: conda packages cannot depend on direct references",
                    hint=f"ask for a version of {project} without it",
                )
            name = canonicalize_name(requirement.name)
            if name != canonicalize_name(project):
                yield f"{names.to_conda(name)} {versions.to_conda(requirement.specifier)}".strip()
            yield from self._of_extras(name, requirement.extras)

    def _of_extras(self, name: str, extras: set[str]) -> Iterator[str]:
        new = {extra for extra in map(canonicalize_name, extras) if (name, extra) not in self._seen}
        self._seen |= {(name, extra) for extra in new}
        if new:
            yield from self.specs(name, self._requirements_of(name), frozenset(new))

    def _wanted(self, requirement: Requirement, extras: frozenset[str]) -> bool:
        """Say whether a requirement holds: without extras its marker alone, else only what the extras add."""
        marker = requirement.marker
        if marker is None:
            return not extras
        if _OF_PYTHON.search(str(marker)) and len({self._holds(marker, extras, v) for v in _MINORS}) > 1:
            self.python_bound = True
        return self._holds(marker, extras, None)

    def _holds(self, marker: Marker, extras: frozenset[str], minor: str | None) -> bool:
        """Evaluate a marker for the target, or for another minor version of Python on the same machine."""
        environment = dict(self._environment)
        if minor is not None:
            environment |= {"python_version": minor, "python_full_version": f"{minor}.0"}
        plain = marker.evaluate({**environment, "extra": ""})
        if not extras:
            return plain
        return not plain and any(marker.evaluate({**environment, "extra": extra}) for extra in extras)
