"""Which workers a command wants: names to installed pipelines, pipelines to seats."""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ..catalog import Catalog, Generation, InstalledPipeline, activation_environment, environment_name
from ..errors import CallerError
from ..stream import OnDemand, Pool, Seat
from ..supervisor import Supervisor, SupervisorOptions, WorkerEvent, WorkerSpec

OnEvent = Callable[[Seat, WorkerEvent], None]


@dataclass(frozen=True)
class WorkerOptions:
    """Workers as flags and environment ask for them."""

    names: tuple[str, ...]
    """Pipelines as ``NAME``, ``NAME@ENVIRONMENT`` or ``NAME=MODULE:OBJECT``; the first is the default one."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Workers by pipeline, one stream each; 1 where none is given."""
    load_timeout_s: float = 180.0
    gpus: tuple[str, ...] = ()
    """CUDA devices (index or UUID) dealt out to the workers in turn; empty: workers see what the runner sees."""
    on_demand: int = 0
    """Workers beyond these, for whatever installed pipeline a stream asks for."""


def find_named(catalog: Catalog, text: str) -> InstalledPipeline:
    """Return the pipeline that ``NAME`` or ``NAME@ENVIRONMENT`` means.

    ``NAME=MODULE:OBJECT`` is one that no package registers: what an entry point would say, in this environment.

    :raises CallerError: there is none
    """
    name, separator, place = text.partition("=")
    if separator:
        return _unregistered(name, place)
    name, _, environment = text.partition("@")
    return catalog.find(name, environment or None)


def _unregistered(name: str, place: str) -> InstalledPipeline:
    module, separator, member = place.partition(":")
    if not (name and module and separator and member):
        raise CallerError(
            f"pipeline {f'{name}={place}'!r} does not have the form NAME=package.module:Object",
            hint="name an installed pipeline, or the place of its class or PipelineSpec",
        )
    prefix = Path(sys.prefix)
    return InstalledPipeline(name, place, module.partition(".")[0], "", prefix, environment_name(prefix))


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
    options: WorkerOptions,
    chosen: Sequence[InstalledPipeline],
    catalog: Catalog,
    on_event: OnEvent,
    *,
    settled: bool = True,
) -> Pool:
    """Return a seat for each wanted worker; nothing is started.

    :param settled: see `Pool`
    :raises CallerError: workers are counted for a pipeline that is not served
    """
    gpus = itertools.cycle(options.gpus or ("",))
    on_demand = OnDemand(
        options.on_demand,
        catalog.names,
        lambda name: _seat(options, catalog.find(name), next(gpus), on_event),
    )
    return Pool(make_seats(options, chosen, on_event, gpus), on_demand, settled=settled)


def make_seats(
    options: WorkerOptions,
    chosen: Sequence[InstalledPipeline],
    on_event: OnEvent,
    gpus: Iterator[str] | None = None,
) -> list[Seat]:
    """Return the seats of pipelines, not started.

    :param gpus: where the deal of CUDA devices has come to; None: at its beginning
    :raises CallerError: workers are counted for a pipeline that is not served
    """
    unknown = set(options.counts) - {item.name for item in chosen}
    if unknown:
        raise CallerError(
            f"--workers names {', '.join(sorted(unknown))}, which is not served", hint="add --pipeline for it"
        )
    gpus = gpus or itertools.cycle(options.gpus or ("",))
    wanted = [item for item in chosen for _ in range(options.counts.get(item.name, 1))]
    return [_seat(options, item, next(gpus), on_event) for item in wanted]


def _seat(options: WorkerOptions, item: InstalledPipeline, gpu: str, on_event: OnEvent) -> Seat:
    limits = SupervisorOptions(load_timeout_s=options.load_timeout_s)
    more_env = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}

    def supervise(spec: WorkerSpec) -> Supervisor:
        return Supervisor(spec, limits, on_event=lambda event: on_event(seat, event))

    installation = Installation(item, more_env)
    seat = Seat(item.name, supervise(installation.spec))

    def renew() -> Supervisor | None:
        spec = installation.newer()
        return supervise(spec) if spec is not None else None

    seat.renew = renew
    return seat


class Installation:
    """An installed pipeline as a worker runs it, and whether something newer has taken its place since.

    :param more_env: see `worker_spec`
    :raises HostError: its environment cannot be activated
    """

    def __init__(self, item: InstalledPipeline, more_env: Mapping[str, str]) -> None:
        self._item, self._more_env = item, more_env
        self._generation = Generation(item.prefix)
        self.spec = worker_spec(item, more_env, self._generation.folder)

    def newer(self) -> WorkerSpec | None:
        """Say how to run what is installed now; None while it is what it was. Blocks for some milliseconds.

        :raises RunnerError: what is installed now cannot be used; this one stays
        """
        if self._generation.is_current():
            return None
        registered = bool(self._item.version)
        item = Catalog.scan([self._item.prefix]).find(self._item.name) if registered else self._item
        generation = Generation(item.prefix)
        spec = worker_spec(item, self._more_env, generation.folder)
        self._generation.close()
        self._item, self._generation, self.spec = item, generation, spec
        return spec


def worker_spec(
    item: InstalledPipeline,
    more_env: Mapping[str, str] = MappingProxyType({}),
    folder: Path | None = None,
) -> WorkerSpec:
    """Say how to run an installed pipeline: in its own prefix, with that prefix's activation environment.

    :param more_env: set before the interpreter starts, as CUDA needs it
    :param folder: where the prefix's content is, when the prefix is a link that may move while the worker runs
    """
    package, version = (item.conda.name, item.conda.version) if item.conda else (item.package, item.version)
    prefix = folder or item.prefix
    env = {**activation_environment(prefix, os.environ), **more_env}
    return WorkerSpec(prefix, item.entry_point, item.name, package, version, env, item.source)
