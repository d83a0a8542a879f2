"""What in-repo packages demand of the host, checked on rendered recipes before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rattler import MatchSpec, Version, VersionSpec

from ..errors import HostError
from ._model import Manifest
from ._plan import EnvironmentPlan, resolve
from ._platforms import alternatives, nearest_hint
from ._protocols import Provider, Variant


def check_demands(manifest: Manifest, plan: EnvironmentPlan, provider: Provider) -> None:
    """Refuse an environment of which a package has no variant that this host can run.

    :raises HostError: names the package, the constraint, what the host has, and what runs instead
    """
    unmet = _unmet(provider.variants(plan.source), plan.source.virtual_packages)
    if not unmet:
        return
    texts = [f"package {name} needs {' or '.join(specs)}" for name, specs in unmet.items()]
    asked = {spec.split()[0] for specs in unmet.values() for spec in specs}
    found = ", ".join(plan.host.describe(name) for name in sorted(asked))
    where = f"(platform {plan.platform.name}), this host has {found}"
    problem = f"environment {plan.environment}: {'; '.join(texts)} {where}"
    raise HostError(problem, hint=_hint(manifest, plan, unmet))


def _unmet(variants: Iterable[Variant], provided: Mapping[str, str]) -> dict[str, list[str]]:
    """The unmet demands of each package of which no variant fits."""
    unmet: dict[str, list[str]] = {}
    fitting: set[str] = set()
    for variant in variants:
        lacking = [spec for spec in variant.depends if spec.startswith("__") and not _met(spec, provided)]
        if lacking:
            unmet.setdefault(variant.name, []).extend(spec for spec in lacking)
        else:
            fitting.add(variant.name)
    return {name: list(dict.fromkeys(specs)) for name, specs in unmet.items() if name not in fitting}


def _met(spec: str, provided: Mapping[str, str]) -> bool:
    have = provided.get(spec.split()[0])
    wanted = MatchSpec(spec).version
    return have is not None and (wanted is None or VersionSpec(wanted).matches(Version(have)))


def _hint(manifest: Manifest, plan: EnvironmentPlan, unmet: Mapping[str, list[str]]) -> str:
    for other in alternatives(manifest, manifest.environments[plan.environment], plan.host):
        if not set(resolve(manifest, other.name, plan.host).recipes) & set(unmet):
            return nearest_hint(other)
    return nearest_hint(None)
