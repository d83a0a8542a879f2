"""Choose packages: py-rattler, the solver that pixi itself is made of."""

from __future__ import annotations

import datetime
import difflib
import itertools
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import rattler
from rattler import (
    GenericVirtualPackage,
    LockChannel,
    LockFile,
    LockPlatform,
    PackageName,
    RepoDataRecord,
    Version,
)
from rattler.exceptions import GatewayError, ParseCondaLockError, SolverError
from rattler.package import BuildString

from ..errors import CallerError, HostError
from ._plan import EnvironmentPlan
from ._verify import local_path

_TIMEOUT = datetime.timedelta(minutes=5)
# The solver's words, of what was asked for and of what that needs.
_MISSING = re.compile(
    r"[Nn]o candidates were found for ([^\s,]+)|([^\s,]+) [^,\n]*, for which no candidates were found"
)
_SHOWN = 5


async def solve(
    plan: EnvironmentPlan,
    sources: Sequence[str | rattler.SparseRepoData],
    locked: Sequence[RepoDataRecord] = (),
    *,
    cache: Path | None = None,
) -> list[RepoDataRecord]:
    """Choose the packages of an environment; members of a solve-group get the same versions.

    :param sources: channel URLs in priority order, or loaded repodata
    :param locked: what was chosen before; kept where it still fits
    :param cache: folder for the indexes of remote channels; None means rattler's own, in the user's home
    :raises CallerError: the requirements contradict each other or nothing satisfies them; the text says which
    :raises HostError: a channel cannot be read
    """
    # A gateway remembers repodata, so each solve takes a fresh one.
    gateway = rattler.Gateway(cache_dir=cache)
    locked = _usable(plan, locked)
    union = await _solve(plan, sources, plan.group_specs, locked, gateway)
    return (
        union if plan.specs == plan.group_specs else await _solve(plan, sources, plan.specs, union, gateway)
    )


async def _solve(
    plan: EnvironmentPlan,
    sources: Sequence[str | rattler.SparseRepoData],
    specs: Sequence[str],
    locked: Sequence[RepoDataRecord],
    gateway: rattler.Gateway,
) -> list[RepoDataRecord]:
    try:
        return await rattler.solve(
            sources=list(sources),
            specs=list(specs),
            constraints=list(plan.constraints),
            locked_packages=list(locked),
            virtual_packages=virtual_packages(plan),
            platforms=[rattler.Subdir(plan.platform.subdir), rattler.Subdir("noarch")],
            gateway=gateway,
            timeout=_TIMEOUT,
        )
    except SolverError as error:
        advice = await _advice(str(error), plan, sources, gateway)
        problem = f"environment {plan.environment} cannot be solved\n{str(error).strip()}"
        raise CallerError(problem, hint="; ".join([*advice, _host_text(plan)])) from error
    except GatewayError as error:
        problem = f"cannot read the channels of environment {plan.environment}: {error}"
        hint = "look at the channel's address and at this host's network; nothing was changed"
        raise HostError(problem, hint=hint) from error


def _host_text(plan: EnvironmentPlan) -> str:
    found = (f"{name} {version}" for name, version in sorted(plan.source.virtual_packages.items()))
    return f"platform {plan.platform.name} on this host provides {', '.join(found)}"


async def _advice(
    problem: str,
    plan: EnvironmentPlan,
    sources: Sequence[str | rattler.SparseRepoData],
    gateway: rattler.Gateway,
) -> list[str]:
    """Say of each package that the solver missed which versions there are, or which names are like it."""
    platforms = [rattler.Subdir(plan.platform.subdir), rattler.Subdir("noarch")]
    missing = dict.fromkeys("".join(words) for words in _MISSING.findall(problem))
    channels = [source for source in sources if isinstance(source, str)]
    try:
        known = {name.normalized for name in await gateway.names(channels, platforms)}
        found = await gateway.query(channels, platforms, [*known.intersection(missing)], recursive=False)
    except GatewayError:  # the problem itself is known, and is what shall be told
        return []
    versions: dict[str, set[Version]] = {}
    for record in itertools.chain.from_iterable(found):
        versions.setdefault(record.name.normalized, set()).add(record.version)
    return [_about(name, versions.get(name, ()), known) for name in missing]


def _about(name: str, versions: Collection[Version], known: Collection[str]) -> str:
    if versions:
        newest = sorted(versions, reverse=True)[:_SHOWN]
        return f"of {name} there is {', '.join(map(str, newest))}{' …' if len(versions) > _SHOWN else ''}"
    longer = sorted(other for other in known if other.endswith(f"-{name}"))
    near = list(dict.fromkeys([*longer, *difflib.get_close_matches(name, sorted(known), cutoff=0.75)]))[
        :_SHOWN
    ]
    return f"no channel has {name}" + (f", did you mean {', '.join(near)}?" if near else "")


def virtual_packages(plan: EnvironmentPlan) -> list[GenericVirtualPackage]:
    """The virtual packages of a plan as rattler wants them."""
    builds = {"__archspec": plan.host.archspec}
    return [
        GenericVirtualPackage(
            PackageName(name), Version(version), BuildString.new_unchecked(builds.get(name, ""))
        )
        for name, version in plan.source.virtual_packages.items()
    ]


def _usable(plan: EnvironmentPlan, locked: Sequence[RepoDataRecord]) -> list[RepoDataRecord]:
    """Leave out in-repo packages (the newest build counts) and files that are gone: rattler keeps both."""
    usable = []
    for record in locked:
        path = local_path(record.url)
        is_ours = record.name.normalized in plan.recipes
        if not is_ours and (path is None or path.exists()):
            usable.append(record)
    return usable


def write_lock(
    path: Path, plan: EnvironmentPlan, channels: Sequence[str], records: Sequence[RepoDataRecord]
) -> None:
    """Record what was chosen, in the format of ``pixi.lock``; local paths bind it to this machine."""
    declared = [f"{name}={version}" for name, version in plan.platform.declared.items()]
    platform = LockPlatform("p1", subdir=rattler.Subdir(plan.platform.subdir), virtual_packages=declared)
    lock = LockFile([platform])
    lock.set_channels(plan.environment, [LockChannel(channel) for channel in channels])
    for record in records:
        lock.add_conda_package(plan.environment, platform, record)
    temporary = path.with_name(f".{path.name}")
    lock.to_path(temporary)
    temporary.replace(path)


def read_lock(path: Path, environment: str) -> list[RepoDataRecord]:
    """What `write_lock` recorded; nothing when there is no lock or it cannot be read."""
    if not path.exists():
        return []
    try:
        found = LockFile.from_path(path).environment(environment)
        platforms = found.platforms() if found is not None else []
        records = found.conda_repodata_records_for_platform(platforms[0]) if found and platforms else None
    except (ParseCondaLockError, OSError):
        return []
    return list(records or [])
