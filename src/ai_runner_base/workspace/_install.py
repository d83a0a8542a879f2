"""Put chosen packages into a new generation of an environment and make it the current one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import cast

import rattler
from rattler import InstallerReporter, MatchSpec, PackageCache, PrefixRecord, RepoDataRecord, ValidationMode
from rattler.exceptions import InstallerError

from ..errors import HostError
from ._bytecode import compile_modules, reuse_compiled
from ._generations import current_generation, make_current, mark_complete, new_generation, sweep
from ._home import Home
from ._plan import EnvironmentPlan
from ._protocols import Reporter, Step
from ._verify import verify_records

Identity = tuple[str, str, str, str]
"""Name, version, build and sha256: two records with the same identity are the same package."""


def identity(record: RepoDataRecord) -> Identity:
    """What makes a record the package that it is."""
    digest = record.sha256.hex() if record.sha256 is not None else ""
    return (record.name.normalized, str(record.version), str(record.build), digest)


def installed_records(prefix: Path) -> list[PrefixRecord]:
    """The packages in a prefix."""
    return [PrefixRecord.from_path(path) for path in sorted(prefix.glob("conda-meta/*.json"))]


Vet = Callable[[RepoDataRecord], None]
"""Called with each package before anything is installed; raises to refuse it."""


def accept_any(what: object) -> None:
    """No further demands."""


async def install(
    plan: EnvironmentPlan,
    records: Sequence[RepoDataRecord],
    home: Home,
    reporter: Reporter,
    accept: Callable[[Path], None] = accept_any,
    vet: Vet = accept_any,
) -> Path:
    """Make an environment consist of exactly these packages; does nothing when it does already.

    :param accept: called with the new generation when everything is in place; by raising it keeps the old one
    :param vet: called with each package that is to be there, before any is installed
    :returns: the current generation
    :raises HostError: a package is not what the index says, or cannot be installed; the old one stays in use
    """
    environment = plan.environment
    old = current_generation(home, environment)
    before = installed_records(old) if old is not None else []
    if old is not None and {identity(record) for record in before} == {
        identity(record) for record in records
    }:
        return old
    sweep(home, environment)
    verify_records(records, home, reporter)
    for record in records:
        vet(record)
    generation = new_generation(home, environment)
    try:
        await _fill(plan, records, generation, home, reporter)
        accept(generation)
    except BaseException:
        shutil.rmtree(generation, ignore_errors=True)
        raise
    mark_complete(generation)
    make_current(home, environment, generation)
    sweep(home, environment)
    return generation


async def _fill(
    plan: EnvironmentPlan,
    records: Sequence[RepoDataRecord],
    generation: Path,
    home: Home,
    reporter: Reporter,
) -> None:
    prefix = home.prefix(plan.environment)
    await _link(plan, records, generation, prefix, home, reporter)
    _share_compiled(home, generation)
    compile_modules(generation, prefix, reporter)
    _write_history(generation, plan, records, home)


async def _link(
    plan: EnvironmentPlan,
    records: Sequence[RepoDataRecord],
    generation: Path,
    prefix: Path,
    home: Home,
    reporter: Reporter,
) -> None:
    # Files are hard links into the cache: `full` repairs an entry that was edited through an environment.
    cache = PackageCache.new_layered([home.cache / "pkgs"], validation_mode=ValidationMode.full())
    specs = [MatchSpec(spec)._match_spec for spec in plan.specs]  # noqa: SLF001  (install takes the inner object only)
    label = f"{plan.environment}: {len(records)} packages"
    with reporter.step("link", label, sum(record.size or 0 for record in records)) as step:
        try:
            await rattler.install(
                list(records),
                generation,
                show_progress=False,
                requested_specs=specs,
                reporter=cast("InstallerReporter", _Progress(records, reporter, step)),
                alternative_target_prefix=prefix,
                package_cache=cache,
            )
        except InstallerError as error:
            raise _not_installed(plan.environment, home, error) from error


def _not_installed(environment: str, home: Home, error: InstallerError) -> HostError:
    """In words of ours where the reason is one that rattler does not name."""
    if not os.access(home.cache / "pkgs", os.W_OK) and (home.cache / "pkgs").exists():
        hint = "nothing was changed; give this user the folder, or remove it: it is made again"
        return HostError(
            f"environment {environment}: cannot write to the cache, {home.cache / 'pkgs'}", hint=hint
        )
    return HostError(f"environment {environment} cannot be installed: {error}", hint="nothing was changed")


class _Progress:
    """Tells our reporter what rattler says; rattler calls it from its threads and looks for these names."""

    def __init__(self, records: Iterable[RepoDataRecord], reporter: Reporter, step: Step) -> None:
        self._sizes = {record.name.normalized: record.size or 0 for record in records}
        self._reporter, self._step = reporter, step
        self._names: dict[int, str] = {}

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        """An archive is being unpacked into the cache."""
        self._reporter.detail(f"unpack {package_name}")
        return operation

    def on_link_start(self, operation: int, package_name: str) -> int:
        """A package is being linked into the environment."""
        self._names[operation] = package_name
        self._reporter.detail(f"link {package_name}")
        return operation

    def on_link_complete(self, index: int) -> None:
        """A package is in place."""
        self._step.advance(self._sizes.get(self._names.get(index, ""), 0))


def _share_compiled(home: Home, generation: Path) -> None:
    """Take compiled modules from the environments that have them."""
    todo = {identity(record): record for record in installed_records(generation)}
    for prefix in sorted(home.environments.glob("*")):
        donor = current_generation(home, prefix.name)
        if donor is not None and todo:
            found = {identity(record) for record in installed_records(donor)}
            shared = [todo.pop(known) for known in list(todo) if known in found]
            reuse_compiled(donor, generation, shared)


def _write_history(
    generation: Path, plan: EnvironmentPlan, records: Sequence[RepoDataRecord], home: Home
) -> None:
    """Tell conda what was asked for; without it ``conda remove X`` here would remove everything."""
    lines = [
        f"==> {time.strftime('%Y-%m-%d %H:%M:%S')} <==",
        f"# cmd: {home.owner} install -e {plan.environment}",
        *sorted(
            f"+{record.channel}/{record.subdir}::{record.name.normalized}-{record.version}-{record.build}"
            for record in records
        ),
        f"# update specs: {list(plan.specs)!r}",
    ]
    (generation / "conda-meta" / "history").write_text("\n".join(lines) + "\n", encoding="utf-8")
