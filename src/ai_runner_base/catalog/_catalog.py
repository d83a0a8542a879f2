"""All installed pipelines, and which one a name means."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CallerError, HostError
from ._installed import InstalledPipeline, Problem
from ._prefixes import known_prefixes
from ._scan import scan_prefix


@dataclass(frozen=True)
class Catalog:
    """A snapshot of what is installed. Scan again to see changes.

    :param pipelines: own environment first, then in the order in which the prefixes were given
    :param problems: what could not be read or cannot be used, and why
    """

    pipelines: tuple[InstalledPipeline, ...] = ()
    problems: tuple[Problem, ...] = ()

    @classmethod
    def scan(cls, prefixes: Sequence[Path] | None = None, *, also: Sequence[Path] = ()) -> Catalog:
        """Read package metadata from disk; blocks for some milliseconds per environment.

        :param prefixes: roots of environments, in order of precedence; this interpreter's own always comes
            first; None means the own one and its siblings
        :param also: more of them, of least precedence
        """
        roots = dict.fromkeys((*(known_prefixes() if prefixes is None else prefixes), *also))
        pipelines: list[InstalledPipeline] = []
        problems: list[Problem] = []
        for prefix in sorted(roots, key=lambda path: path != Path(sys.prefix)):
            found, trouble = scan_prefix(prefix)
            pipelines += found
            problems += trouble
        return cls(tuple(pipelines), tuple(problems))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all pipelines, once each, sorted."""
        return tuple(sorted({item.name for item in self.pipelines}))

    def find(self, name: str, environment: str | None = None) -> InstalledPipeline:
        """The pipeline that a name means: the own environment's before another's.

        :param name: name of the pipeline
        :param environment: name or path of the environment to take it from
        :raises CallerError: there is none; tells what there is and the nearest name
        :raises HostError: there is one, but it cannot be started
        """
        named = [item for item in self.pipelines if item.name == name]
        if not named:
            raise self._unknown_name(name)
        here = [item for item in named if environment in (None, item.environment, str(item.prefix))]
        if not here:
            places = ", ".join(sorted({item.environment for item in named}))
            raise CallerError(
                f"pipeline {name!r} is not in environment {environment!r}", hint=f"it is in {places}"
            )
        usable = next((item for item in here if item.problem is None), None)
        if usable is None:
            raise HostError(f"pipeline {name!r} of {here[0].prefix} cannot be started: {here[0].problem}")
        return usable

    def _unknown_name(self, name: str) -> CallerError:
        if not self.names:
            return CallerError(
                f"there is no pipeline {name!r}: no environment has any",
                hint="install a pipeline's package first",
            )
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"did you mean {near[0]}?" if near else "run `ai-runner pipelines` for details"
        return CallerError(f"there is no pipeline {name!r}; installed are {', '.join(self.names)}", hint=hint)
