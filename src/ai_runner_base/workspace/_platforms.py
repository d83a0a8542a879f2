"""Which platform of the manifest a host is, by pixi's rules; and what to say when it is none.

Source of the rules: pixi's documentation of multi-platform workspaces, restated in ``docs/pixiw.md``.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import CallerError, HostError
from ._model import Environment, Feature, Layer, Manifest, Platform

_PREFIXES = {"linux": "linux-", "osx": "osx-", "macos": "osx-", "win": "win-"}
_ONLY_WHEN_DECLARED = ("__cuda", "__cuda_arch")


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine provides.

    :param subdir: e.g. ``linux-64``
    :param virtual_packages: versions by name, e.g. ``{"__glibc": "2.36", "__cuda": "12.8"}``
    :param archspec: name of the processor's microarchitecture, e.g. ``x86_64_v3``; may be empty
    """

    subdir: str
    virtual_packages: Mapping[str, str] = field(default_factory=dict)
    archspec: str = ""

    def provides(self, name: str, version: str) -> bool:
        """Whether a virtual package is there in this version or a later one."""
        have = self.virtual_packages.get(name)
        return have is not None and numbers(have) >= numbers(version)

    def describe(self, name: str) -> str:
        """For messages: ``__cuda 12.6`` or ``no __cuda``."""
        have = self.virtual_packages.get(name)
        return f"no {name}" if have is None else f"{name} {have}"


def numbers(version: str) -> tuple[int, ...]:
    """Order versions of virtual packages, plain numbers: ``12.10`` is after ``12.8``; ``12`` is ``12.0``."""
    found = [int(part) for part in re.findall(r"\d+", version)]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def layers(feature: Feature, platform: Platform) -> Iterator[Layer]:
    """A feature's own content, then that of every matching target in file order: later ones win."""
    yield feature.base
    for selector, layer in feature.targets:
        if _selects(selector, platform):
            yield layer


def _selects(selector: str, platform: Platform) -> bool:
    if selector in (platform.name, platform.subdir):
        return True
    if selector == "unix":
        return not platform.subdir.startswith("win-")
    if selector in _PREFIXES:
        return platform.subdir.startswith(_PREFIXES[selector])
    return "*" in selector and fnmatch.fnmatchcase(platform.name, selector)


def supported_platforms(manifest: Manifest, environment: Environment) -> tuple[Platform, ...]:
    """The platforms that every feature of an environment allows, in manifest order.

    Where a feature names a platform exactly, only exactly named platforms of that subdir stay.
    """
    limits = [feature.platforms for feature in environment.features if feature.platforms is not None]
    names = {platform.name for platform in manifest.platforms}
    exact = {name for name in itertools.chain.from_iterable(limits) if name in names}
    pinned = {platform.subdir for platform in manifest.platforms if platform.name in exact}
    return tuple(
        platform
        for platform in manifest.platforms
        if all(platform.name in limit or platform.subdir in limit for limit in limits)
        and (platform.name in exact or platform.subdir not in pinned)
    )


def runnable_platform(manifest: Manifest, environment: Environment, host: Host) -> Platform | None:
    """The first platform of an environment that this host can run, or None."""
    for platform in supported_platforms(manifest, environment):
        if platform.subdir == host.subdir and not missing(platform, host):
            return platform
    return None


def pick_platform(manifest: Manifest, environment: Environment, host: Host) -> Platform:
    """The platform for which an environment is made on this host.

    :raises HostError: names the constraint, what the host has, and the nearest environment that would work
    :raises CallerError: the environment has no platform for this kind of machine at all
    """
    platform = runnable_platform(manifest, environment, host)
    if platform is not None:
        return platform
    supported = supported_platforms(manifest, environment)
    here = [candidate for candidate in supported if candidate.subdir == host.subdir]
    hint = _nearest_hint(manifest, environment, host)
    if not here:
        names = ", ".join(candidate.name for candidate in supported) or "no platform"
        problem = f"environment {environment.name} runs on {names}, this machine is {host.subdir}"
        raise CallerError(problem, hint=hint)
    needs = "; or ".join(_needs(candidate, host) for candidate in here)
    raise HostError(f"environment {environment.name} needs {needs}", hint=hint)


def missing(platform: Platform, host: Host) -> list[str]:
    """Names of the declared virtual packages that the host lacks or has in too low a version."""
    return [name for name, version in platform.declared.items() if not host.provides(name, version)]


def _needs(platform: Platform, host: Host) -> str:
    lacking = missing(platform, host)
    wanted = ", ".join(f"{name} >={platform.declared[name]}" for name in lacking)
    found = ", ".join(host.describe(name) for name in lacking)
    return f"{wanted} (platform {platform.name}), this host has {found}"


def _nearest_hint(manifest: Manifest, environment: Environment, host: Host) -> str:
    return nearest_hint(next(iter(alternatives(manifest, environment, host)), None))


def nearest_hint(nearest: Environment | None) -> str:
    """What to suggest in place of an environment that does not run here."""
    if nearest is None:
        return "no environment of this manifest runs on this host"
    return f"the nearest environment that runs here: -e {nearest.name}"


def alternatives(manifest: Manifest, environment: Environment, host: Host) -> list[Environment]:
    """Other environments that run here, those first that share most features with a given one."""
    wanted = {feature.name for feature in environment.features}

    def likeness(other: Environment) -> float:
        names = {feature.name for feature in other.features}
        return len(names & wanted) / len(names | wanted)

    others = [
        other
        for other in manifest.environments.values()
        if other is not environment and runnable_platform(manifest, other, host) is not None
    ]
    return sorted(others, key=likeness, reverse=True)


def solver_packages(platform: Platform, host: Host) -> dict[str, str]:
    """The virtual packages that a solve may rely on.

    What the platform declares counts as declared, so that every host that takes this platform gets the same
    packages; CUDA exists only where it is declared; for the rest (glibc, kernel) this host's values count,
    because the environment is made for it alone.
    """
    found = {
        name: version
        for name, version in host.virtual_packages.items()
        if name not in _ONLY_WHEN_DECLARED or name in platform.declared
    }
    return found | dict(platform.declared)
