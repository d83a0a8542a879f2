"""Which workers a command wants: names to installed pipelines, pipelines to seats."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ..catalog import Catalog, InstalledPipeline, activation_environment
from ..errors import CallerError
from ..stream import OnDemand, Pool, Seat
from ..supervisor import Supervisor, SupervisorOptions, WorkerEvent, WorkerSpec

OnEvent = Callable[[Seat, WorkerEvent], None]


@dataclass(frozen=True)
class WorkerOptions:
    """Workers as flags and environment ask for them."""

    names: tuple[str, ...]
    """Pipelines as ``NAME`` or ``NAME@ENVIRONMENT``; the first is the default one."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Workers by pipeline, one stream each; 1 where none is given."""
    load_timeout_s: float = 180.0
    gpus: tuple[str, ...] = ()
    """CUDA devices (index or UUID) dealt out to the workers in turn; empty: workers see what the runner sees."""
    on_demand: int = 0
    """Workers beyond these, for whatever installed pipeline a stream asks for."""


def find_named(catalog: Catalog, text: str) -> InstalledPipeline:
    """Return the pipeline that ``NAME`` or ``NAME@ENVIRONMENT`` means.

    :raises CallerError: there is none
    """
    name, _, environment = text.partition("@")
    return catalog.find(name, environment or None)


def choose(names: tuple[str, ...], catalog: Catalog) -> list[InstalledPipeline]:
    """Return the pipelines to serve.

    :raises CallerError: an unknown or repeated one, or none named while several (or none) are installed
    """
    if not names and len(catalog.names) != 1:
        raise CallerError(
            f"which pipeline? installed: {', '.join(catalog.names) or 'none'}",
            hint="name one with --pipeline or MODEL_ID"
            if catalog.names
            else "install a pipeline's package first",
        )
    chosen = [find_named(catalog, name) for name in names or catalog.names]
    repeated = [name for name, n in Counter(item.name for item in chosen).items() if n > 1]
    if repeated:
        raise CallerError(
            f"pipeline {repeated[0]!r} is named twice", hint=f"use --workers {repeated[0]}=2 for two workers"
        )
    return chosen


def make_pool(
    options: WorkerOptions, chosen: list[InstalledPipeline], catalog: Catalog, on_event: OnEvent
) -> Pool:
    """Return a seat for each wanted worker; nothing is started.

    :raises CallerError: workers are counted for a pipeline that is not served
    """
    unknown = set(options.counts) - {item.name for item in chosen}
    if unknown:
        raise CallerError(
            f"--workers names {', '.join(sorted(unknown))}, which is not served", hint="add --pipeline for it"
        )
    gpus = itertools.cycle(options.gpus or ("",))
    wanted = [item for item in chosen for _ in range(options.counts.get(item.name, 1))]
    on_demand = OnDemand(
        options.on_demand,
        catalog.names,
        lambda name: _seat(options, catalog.find(name), next(gpus), on_event),
    )
    return Pool([_seat(options, item, next(gpus), on_event) for item in wanted], on_demand)


def _seat(options: WorkerOptions, item: InstalledPipeline, gpu: str, on_event: OnEvent) -> Seat:
    limits = SupervisorOptions(load_timeout_s=options.load_timeout_s)
    spec = worker_spec(item, {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})
    seat = Seat(item.name, Supervisor(spec, limits, on_event=lambda event: on_event(seat, event)))
    return seat


def worker_spec(item: InstalledPipeline, more_env: Mapping[str, str] = MappingProxyType({})) -> WorkerSpec:
    """Say how to run an installed pipeline: in its own prefix, with that prefix's activation environment.

    :param more_env: set before the interpreter starts, as CUDA needs it
    """
    package, version = (item.conda.name, item.conda.version) if item.conda else (item.package, item.version)
    env = {**activation_environment(item.prefix, os.environ), **more_env}
    return WorkerSpec(item.prefix, item.entry_point, item.name, package, version, env)
