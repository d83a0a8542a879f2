"""From a manifest and a host to what one environment consists of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CallerError
from ._model import Activation, Environment, Feature, Manifest, Platform, Requirement, Task
from ._platforms import Host, layers, pick_platform, solver_packages, supported_platforms
from ._protocols import SourcePlan


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """An environment as it is to be on one host.

    :param specs: match specs of all direct dependencies, in-repo packages by name
    :param constraints: match specs that bind only what something else installs
    :param recipes: recipe folders of the in-repo packages by conda name
    :param group: environments solved together, this one among them; ``source`` covers all of them
    :param source: what the channels must hold for the solve
    :param group_specs: specs of the whole group; equal to ``specs`` without a solve-group
    """

    environment: str
    platform: Platform
    host: Host
    specs: tuple[str, ...]
    constraints: tuple[str, ...]
    recipes: Mapping[str, Path]
    activation: Activation
    source: SourcePlan
    group: tuple[str, ...] = ()
    group_specs: tuple[str, ...] = ()
    supported: tuple[str, ...] = field(default=())


def find_environment(manifest: Manifest, name: str) -> Environment:
    """Look up an environment.

    :raises CallerError: names the environments that exist
    """
    if name not in manifest.environments:
        known = ", ".join(manifest.environments)
        raise CallerError(f"{manifest.path.name} has no environment {name!r}", hint=f"there are: {known}")
    return manifest.environments[name]


def resolve(manifest: Manifest, environment: str, host: Host) -> EnvironmentPlan:
    """Decide platform, specs, recipes and activation of an environment on a host.

    :raises CallerError: no such environment, or a recipe folder is missing (with line)
    :raises HostError: this host cannot run it (see `pick_platform`)
    """
    found = find_environment(manifest, environment)
    platform = pick_platform(manifest, found, host)
    members = _group(manifest, found, platform)
    own = _requirements([found], platform, "dependencies")
    union = _requirements(members, platform, "dependencies")
    constraints = _specs(_requirements(members, platform, "constraints"))
    recipes = {item.name: _recipe_folder(manifest, item) for item in union if item.path is not None}
    source = SourcePlan(
        recipes=tuple(dict.fromkeys(recipes.values())),
        specs=_specs(item for item in union if item.name not in recipes),
        constraints=constraints,
        channels=manifest.channels,
        subdir=platform.subdir,
        virtual_packages=solver_packages(platform, host),
        environment=environment,
    )
    return EnvironmentPlan(
        environment=environment,
        platform=platform,
        host=host,
        specs=_specs(own),
        constraints=constraints,
        recipes={item.name: recipes[item.name] for item in own if item.name in recipes},
        activation=activation(found, platform),
        source=source,
        group=tuple(member.name for member in members),
        group_specs=_specs(union),
        supported=tuple(candidate.name for candidate in supported_platforms(manifest, found)),
    )


def _group(manifest: Manifest, environment: Environment, platform: Platform) -> list[Environment]:
    """The environments that are solved together; those of a solve-group that also support the platform."""
    if environment.solve_group is None:
        return [environment]
    return [
        member
        for member in manifest.environments.values()
        if member.solve_group == environment.solve_group and platform in supported_platforms(manifest, member)
    ]


def _requirements(members: Iterable[Environment], platform: Platform, kind: str) -> list[Requirement]:
    """Within a feature a matching target overrides by name; across features all requirements hold."""
    found: list[Requirement] = []
    for feature in _distinct_features(members):
        merged: dict[str, Requirement] = {}
        for layer in layers(feature, platform):
            merged |= layer.dependencies if kind == "dependencies" else layer.constraints
        found += merged.values()
    return found


def _distinct_features(members: Iterable[Environment]) -> list[Feature]:
    distinct: list[Feature] = []
    for member in members:
        distinct += [
            feature for feature in member.features if not any(feature is known for known in distinct)
        ]
    return distinct


def _specs(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(requirement.spec for requirement in requirements))


def _recipe_folder(manifest: Manifest, requirement: Requirement) -> Path:
    path = requirement.path or manifest.root
    for candidate in (path, path / "recipe", path.parent):
        if (candidate / "recipe.yaml").is_file() and (candidate != path.parent or path.name == "recipe.yaml"):
            return candidate
    raise manifest.document.error(requirement.key, f"there is no recipe.yaml in {path}")


def activation(environment: Environment, platform: Platform) -> Activation:
    """Variables (the first feature that sets one wins) and scripts (all features, in order)."""
    env: dict[str, str] = {}
    scripts: list[str] = []
    for feature in environment.features:
        most_specific_first = list(layers(feature, platform))[::-1]
        for layer in most_specific_first:
            env = {**layer.activation.env, **env}
        scripts += next(
            (layer.activation.scripts for layer in most_specific_first if layer.activation.scripts), ()
        )
    return Activation(env, tuple(dict.fromkeys(scripts)))


def tasks(environment: Environment, platform: Platform) -> dict[str, Task]:
    """Tasks of an environment: the first feature that defines one wins, a target before the feature's own."""
    found: dict[str, Task] = {}
    for feature in environment.features:
        for layer in list(layers(feature, platform))[::-1]:
            found = {**layer.tasks, **found}
    return found
