"""Environments that hold what a person named, without a manifest: install, upgrade, roll back, remove.

The generations and the lock are the same as for environments of a manifest (`_generations`). What was asked for is kept
in the generation itself, so that a rollback takes it back, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rattler import MatchSpec, PrefixRecord, RepoDataRecord
from rattler.exceptions import InvalidMatchSpecError

from ..errors import CallerError, HostError
from ._generations import current_generation, make_current, previous_generation, remove_environment
from ._home import Home, read_json, write_json
from ._host import detect_host
from ._install import Vet, accept_any, install, installed_records
from ._model import Activation, Platform
from ._plan import EnvironmentPlan
from ._platforms import Host
from ._protocols import Reporter, SourcePlan
from ._solve import solve

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SPEC = re.compile(r"\s*([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*?)\s*")
_FILE = Path("conda-meta") / "ai-runner"  # not .json: those are package records to every conda client

Accept = Callable[[Path], None]
"""Called with a new generation before it is used; raises to refuse it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for in an environment.

    :param specs: match specs by package name
    :param channels: URLs or names, in order of priority
    """

    specs: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def with_specs(self, specs: Sequence[str]) -> Request:
        """Ask for more packages, or for others of the same name."""
        merged = {package_name(spec): spec for spec in (*self.specs, *specs)}
        return replace(self, specs=tuple(merged.values()))

    def without(self, names: Collection[str]) -> Request:
        """Ask for fewer packages.

        :raises CallerError: one of them was not asked for
        """
        mine = {package_name(spec): spec for spec in self.specs}
        unknown = sorted(set(names) - set(mine))
        if unknown:
            raise CallerError(
                f"{', '.join(unknown)} was not asked for here", hint=f"there is: {', '.join(mine)}"
            )
        return replace(self, specs=tuple(spec for name, spec in mine.items() if name not in names))


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did.

    :param generation: where the environment's files are now
    :param lines: ``+ name 2.0``, ``- name 1.0`` or ``name 1.0 → 2.0``; empty when nothing had to change
    """

    prefix: Path
    generation: Path
    lines: tuple[str, ...]
    seconds: float


def match_spec(text: str) -> str:
    """Read ``PACKAGE`` with an optional version, as conda and pip write it: ``a``, ``a==1.0``, ``a >=1,<2``.

    :raises CallerError: it is no such thing
    """
    hint = "write NAME, NAME==VERSION or NAME>=VERSION,<VERSION"
    found = _SPEC.fullmatch(text)
    if found is None:
        raise CallerError(f"{text!r} names no package", hint=hint)
    spec = " ".join(filter(None, (found[1].lower(), found[2])))
    try:
        MatchSpec(spec, strict=True)
    except InvalidMatchSpecError as error:
        raise CallerError(f"{text!r} names no package: {error}", hint=hint) from error
    return spec


def package_name(spec: str) -> str:
    """The name in a match spec of ours."""
    return spec.split()[0]


class Installer:
    """Changes one environment; whatever happens, what was there before stays usable until the new one is.

    :param accept: the start test that a new generation must pass before anybody uses it
    :param vet: called with each package before any is installed; raises to refuse it
    """

    def __init__(
        self, home: Home, environment: str, reporter: Reporter, accept: Accept, vet: Vet = accept_any
    ) -> None:
        if not _NAME.fullmatch(environment):
            raise CallerError(
                f"{environment!r} is no name for an environment", hint="use letters, digits, . _ -"
            )
        self._home, self._environment = home, environment
        self._reporter, self._accept, self._vet = reporter, accept, vet

    def install(self, specs: Sequence[str], channels: Sequence[str]) -> Changed:
        """Add packages; what is there stays as it is where the new ones allow it.

        :param specs: see `match_spec`
        :param channels: empty means those of the environment
        :raises CallerError: nothing fits, or the environment is not ours
        :raises HostError: a channel cannot be read, a package is broken, the disk is full
        """
        return self._change("install", lambda old: _with_channels(old.with_specs(specs), channels), ())

    def upgrade(self, specs: Sequence[str], channels: Sequence[str]) -> Changed:
        """Choose packages anew: the named ones and what they then need, or all when none is named.

        :raises CallerError: also when a named package was never asked for here
        """
        names = [package_name(spec) for spec in specs]

        def edit(old: Request) -> Request:
            old.without(names)
            return _with_channels(old.with_specs(specs), channels)

        self._require()
        return self._change("upgrade", edit, names or None)

    def uninstall(self, names: Sequence[str]) -> Changed | None:
        """Take packages away with what only they needed; the last one takes the environment with it: None."""
        self._require()
        with self._locked("uninstall"):
            old = self._request("uninstall")
            if old.without(names).specs:
                return self._apply(old, old.without(names), ())
            remove_environment(self._home, self._environment, used=False)
        return None

    def rollback(self) -> Changed:
        """Go back to the generation before the current one; costs a symlink.

        :raises CallerError: there is none
        """
        started = time.monotonic()
        self._require()
        with self._locked("rollback"):
            current = current_generation(self._home, self._environment)
            previous = previous_generation(self._home, self._environment)
            if previous is None or current is None:
                hint = "one generation before the current one is kept; install the version that you want"
                raise CallerError(f"environment {self._environment} has no earlier generation", hint=hint)
            make_current(self._home, self._environment, previous)
            return self._changed(installed_records(current), previous, started)

    @contextlib.contextmanager
    def _locked(self, purpose: str) -> Iterator[None]:
        """Hold the lock; what the file system refuses becomes an error for people."""
        try:
            with self._home.locked(f"{purpose} in {self._environment}", self._reporter.note):
                yield
        except OSError as error:
            hint = "nothing was changed; look at the disk's space and permissions"
            raise HostError(f"environment {self._environment}, {purpose}: {error}", hint=hint) from error

    def _change(
        self, purpose: str, edit: Callable[[Request], Request], anew: Collection[str] | None
    ) -> Changed:
        with self._locked(purpose):
            old = self._request(purpose)
            return self._apply(old, edit(old), anew)

    def _apply(self, old: Request, new: Request, anew: Collection[str] | None) -> Changed:
        started = time.monotonic()
        current = current_generation(self._home, self._environment)
        before = installed_records(current) if current is not None else []
        kept = [] if anew is None else [record for record in before if record.name.normalized not in anew]
        plan = _plan(self._environment, new, detect_host())
        generation = asyncio.run(self._make(plan, new, kept))
        if generation == current and new != old:
            _write(generation, new)
        return self._changed(before, generation, started)

    async def _make(self, plan: EnvironmentPlan, new: Request, kept: Sequence[RepoDataRecord]) -> Path:
        with self._reporter.step("solve", plan.environment):
            records = await solve(plan, new.channels, kept, cache=self._home.cache / "repodata")

        def accept(generation: Path) -> None:
            _write(generation, new)
            with self._reporter.step("test", plan.environment):
                self._accept(generation)

        return await install(plan, records, self._home, self._reporter, accept, self._vet)

    def _request(self, purpose: str) -> Request:
        """What is asked for now; nothing in a new environment. Refuses one that somebody else looks after."""
        prefix = self._home.prefix(self._environment)
        current = current_generation(self._home, self._environment)
        if current is not None and current.parent == self._home.generations:
            found = read_json(current / _FILE) or {}
            if found.get("index") and purpose != "uninstall":
                hint = f"to change it, remove it first: ai-runner uninstall {self._environment}"
                raise CallerError(f"environment {self._environment} is from a Python index", hint=hint)
            return Request(tuple(found.get("specs", ())), tuple(found.get("channels", ())))
        if prefix.is_symlink() or prefix.exists():
            hint = "use the program that made it, or another environment (-e NAME)"
            raise CallerError(f"{prefix} was not made by `ai-runner install`", hint=hint)
        return Request()

    def _require(self) -> None:
        if not self._home.prefix(self._environment).is_symlink():
            known = [path.name for path in self._home.environments.glob("[!.]*") if path.is_symlink()]
            hint = f"installed here: {', '.join(sorted(known)) or 'nothing'}"
            raise CallerError(
                f"there is no environment {self._environment} in {self._home.environments}", hint=hint
            )

    def _changed(self, before: Sequence[PrefixRecord], generation: Path, started_s: float) -> Changed:
        lines = _compare(_versions(before), _versions(installed_records(generation)))
        prefix = self._home.prefix(self._environment)
        return Changed(prefix, generation, tuple(lines), time.monotonic() - started_s)


def _with_channels(request: Request, channels: Sequence[str]) -> Request:
    """Channels that are named now go before those of the environment."""
    return replace(request, channels=tuple(dict.fromkeys((*channels, *request.channels))))


def _write(generation: Path, request: Request) -> None:
    write_json(generation / _FILE, {"specs": list(request.specs), "channels": list(request.channels)})


def _plan(environment: str, request: Request, host: Host) -> EnvironmentPlan:
    """Plan for this host: all that it provides counts, a CUDA driver among it."""
    platform = Platform(host.subdir, host.subdir)
    source = SourcePlan(
        recipes=(),
        specs=request.specs,
        channels=request.channels,
        subdir=host.subdir,
        virtual_packages=host.virtual_packages,
        environment=environment,
    )
    return EnvironmentPlan(
        environment=environment,
        platform=platform,
        host=host,
        specs=request.specs,
        constraints=(),
        recipes={},
        activation=Activation(),
        source=source,
        group=(environment,),
        group_specs=request.specs,
        supported=(platform.name,),
    )


def _versions(records: Sequence[PrefixRecord]) -> dict[str, tuple[str, str]]:
    return {record.name.normalized: (str(record.version), str(record.build)) for record in records}


def _compare(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]) -> list[str]:
    lines = [f"- {name} {before[name][0]}" for name in sorted(set(before) - set(after))]
    lines += [f"+ {name} {after[name][0]}" for name in sorted(set(after) - set(before))]
    for name in sorted(set(before) & set(after)):
        old, new = before[name], after[name]
        if old != new:
            part = 0 if old[0] != new[0] else slice(None)
            lines.append(f"{name} {_text(old[part])} → {_text(new[part])}")
    return lines


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)
