"""Make environments: ask the provider for channels, solve, install, remember. Needs py-rattler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rattler import RepoDataRecord

from ..errors import CallerError
from ._activation import capture_activation
from ._demands import check_demands
from ._home import Home, read_json
from ._install import install, installed_records
from ._model import Manifest
from ._plan import EnvironmentPlan
from ._protocols import Provider, Reporter
from ._ready import Prepared, current_stamp, ready, save_state
from ._solve import read_lock, solve, write_lock
from ._stamp import plan_digest


class Preparer:
    """Makes environments ready, one process at a time.

    :param purpose: for others that wait for us, e.g. ``run serve``
    """

    def __init__(
        self, manifest: Manifest, home: Home, provider: Provider, reporter: Reporter, purpose: str = "install"
    ) -> None:
        self._manifest, self._home = manifest, home
        self._provider, self._reporter = provider, reporter
        self._purpose = purpose

    def prepare(
        self, plans: Sequence[EnvironmentPlan], *, frozen: bool = False, locked: bool = False
    ) -> list[Prepared]:
        """Make environments ready; those that are cost nothing.

        :param frozen: install what was chosen before, whatever the manifest says now
        :param locked: refuse to choose anew
        :raises RunnerError: see `check_demands`, `solve` and `install`; what was there before stays usable
        """
        for plan in plans:
            check_demands(self._manifest, plan, self._provider)
        with self._home.locked(self._purpose, self._reporter.note):
            return [self._prepare(plan, frozen=frozen, locked=locked) for plan in plans]

    def _prepare(self, plan: EnvironmentPlan, *, frozen: bool, locked: bool) -> Prepared:
        # Another process may have done it while this one waited for the lock.
        found = ready(plan, self._home, frozen=frozen)
        if found is not None:
            return found
        if locked:
            self._require_lock(plan)
        started = time.monotonic()
        scripts = [self._manifest.root / name for name in plan.activation.scripts]
        stamp = current_stamp(plan, [*self._provider.inputs(plan.source), *scripts])
        records = self._locked_records(plan) if frozen else self._choose(plan)
        generation = asyncio.run(install(plan, records, self._home, self._reporter))
        prepared = save_state(plan, self._home, generation, stamp, self._describe(plan, generation))
        self._summarise(prepared, time.monotonic() - started)
        return prepared

    def _choose(self, plan: EnvironmentPlan) -> list[RepoDataRecord]:
        channels = self._provider.provide(plan.source, self._reporter)
        lock = self._lock_file(plan)
        with self._reporter.step("solve", plan.environment):
            locked = read_lock(lock, plan.environment)
            cache = self._home.cache / "repodata"
            records = asyncio.run(solve(plan, channels, locked, cache=cache))
        write_lock(lock, plan, channels, records)
        return records

    def _lock_file(self, plan: EnvironmentPlan) -> Path:
        return self._home.root / "state" / f"{plan.environment}.lock"

    def _locked_records(self, plan: EnvironmentPlan) -> list[RepoDataRecord]:
        records = read_lock(self._lock_file(plan), plan.environment)
        if not records:
            hint = f"leave out --frozen, or make it first: pixiw install -e {plan.environment}"
            raise CallerError(f"environment {plan.environment} was never solved here", hint=hint)
        return records

    def _require_lock(self, plan: EnvironmentPlan) -> None:
        state = read_json(self._home.state(plan.environment)) or {}
        if state.get("plan") != plan_digest(plan):
            changed = "has changed in the manifest" if state else "was never solved here"
            hint = "leave out --locked to solve it now"
            raise CallerError(f"environment {plan.environment} {changed}", hint=hint)

    def _describe(self, plan: EnvironmentPlan, generation: Path) -> dict[str, Any]:
        records = installed_records(generation)
        sizes = [path.size_in_bytes or 0 for record in records for path in record.paths_data.paths]
        activated = capture_activation(plan, self._home.prefix(plan.environment), self._manifest.root)
        return {"packages": len(records), "size_bytes": sum(sizes), "activation": activated.to_json()}

    def _summarise(self, prepared: Prepared, seconds: float) -> None:
        size = f"{prepared.size_bytes / 1e6:.0f} MB" if prepared.size_bytes >= 1e6 else "under 1 MB"
        text = f"environment {prepared.environment}: {prepared.packages} packages, {size}, {seconds:.1f} s"
        self._reporter.note(text)
