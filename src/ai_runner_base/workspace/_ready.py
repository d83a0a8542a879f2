"""Is an environment ready to use? The fast path: reads one small file and some stats, imports no solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._activation import Activated
from ._generations import current_generation
from ._home import Home, read_json, write_json
from ._plan import EnvironmentPlan
from ._stamp import files_digest, plan_digest


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment that can be used.

    :param generation: where its files are; ``prefix`` points to it
    :param stamp: changes whenever the content of the environment may have changed
    """

    environment: str
    prefix: Path
    generation: Path
    activated: Activated
    packages: int
    size_bytes: int
    stamp: str


def ready(plan: EnvironmentPlan, home: Home, *, frozen: bool = False) -> Prepared | None:
    """The environment, if it is complete and what the manifest and the sources ask for.

    :param frozen: take it as it is, even if the manifest or the sources have changed since
    """
    state = read_json(home.state(plan.environment))
    generation = current_generation(home, plan.environment)
    if state is None or generation is None or state.get("generation") != generation.name:
        return None
    if not frozen and state != {**state, **current_stamp(plan, [Path(path) for path in state["inputs"]])}:
        return None
    if state["meta"] != _meta(generation):
        return None
    return _prepared(plan.environment, home, generation, state)


def current_stamp(plan: EnvironmentPlan, inputs: list[Path]) -> dict[str, Any]:
    """What an environment made now would be made from."""
    return {
        "plan": plan_digest(plan),
        "inputs": [str(path) for path in inputs],
        "files": files_digest(inputs),
    }


def save_state(
    plan: EnvironmentPlan, home: Home, generation: Path, stamp: Mapping[str, Any], found: Mapping[str, Any]
) -> Prepared:
    """Remember that an environment is ready.

    :param stamp: from `current_stamp`, taken before the work began
    :param found: ``activation`` (as data), ``packages`` and ``size_bytes``
    """
    state = {**stamp, **found, "generation": generation.name, "meta": _meta(generation)}
    write_json(home.state(plan.environment), state)
    return _prepared(plan.environment, home, generation, state)


def _prepared(environment: str, home: Home, generation: Path, state: Mapping[str, Any]) -> Prepared:
    return Prepared(
        environment=environment,
        prefix=home.prefix(environment),
        generation=generation,
        activated=Activated.from_json(state["activation"]),
        packages=state["packages"],
        size_bytes=state["size_bytes"],
        stamp=f"{state['plan']} {state['files']} {state['meta']}",
    )


def _meta(generation: Path) -> int:
    """Changes when somebody else (conda, say) installs into the environment."""
    return (generation / "conda-meta").stat().st_mtime_ns
