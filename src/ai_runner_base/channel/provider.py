"""One object that makes sure channels hold what a plan needs; `workspace.Provider` is its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ._given import GivenChannel, given_channels, left_to_others
from ._protocols import Plan, Reporter
from ._store import ChannelDir
from ._wants import Want
from .building import build, build_order
from .host_python import HostPython
from .mirroring import mirror
from .recipes import Output, Recipe, load, requirements_of


class ChannelProvider:
    """Builds a plan's recipes into ``ROOT/local`` and mirrors the rest into ``ROOT/mirror``.

    Channels in folders that the manifest names (``file://``) stand between the two, as they are.

    :param root: folder of the two channels; on one machine it may be shared by several workspaces
    :param python: the interpreter that environments get; the running one if left out
    :param upstream: channel URLs to take everything else from instead of mirroring it
    :param run_tests: run the tests of recipes that are built
    :param refresh: look for newer versions of what is mirrored
    """

    def __init__(
        self,
        root: Path,
        *,
        python: HostPython | None = None,
        upstream: Sequence[str] = (),
        run_tests: bool = False,
        refresh: bool = False,
    ) -> None:
        self.local = ChannelDir(root / "local")
        self.mirror = ChannelDir(root / "mirror")
        self._python = python or HostPython.current()
        self._upstream = tuple(upstream)
        self._run_tests, self._refresh = run_tests, refresh

    def inputs(self, plan: Plan) -> list[Path]:
        """Name the files and folders whose content decides what `provide` gives."""
        recipes = self._recipes(plan)
        watched = {path for recipe in recipes for source in recipe.sources for path in source.watched()}
        return sorted(watched.union(*(channel.indexes for channel in _given(plan))))

    def variants(self, plan: Plan) -> list[Output]:
        """Render all variants of the plan's recipes, with a placeholder for the hash of their sources."""
        return [output for recipe in self._recipes(plan) for output in recipe.outputs]

    def provide(self, plan: Plan, reporter: Reporter) -> list[str]:
        """Mirror and build what is missing.

        :returns: channel URLs in priority order
        :raises RunnerError: names the package, who wants it, and the ways out
        """
        recipes = build_order(self._recipes(plan))
        others = [channel.url for channel in _given(plan)]
        others += self._upstream or [self._mirror(plan, recipes, reporter)]
        if not recipes:
            return others
        built = build(
            plan.recipes,
            self.local.path,
            others,
            reporter,
            virtual_packages=plan.virtual_packages,
            run_tests=self._run_tests,
            fingerprint="" if self._upstream else self._python.minor,
        )
        return [built.url, *others]

    def _mirror(self, plan: Plan, recipes: Sequence[Recipe], reporter: Reporter) -> str:
        asked_by = f"environment {plan.environment}" if plan.environment else "the environment"
        wants = [Want(spec, (asked_by,)) for spec in plan.specs]
        wants += requirements_of(
            recipes, plan.virtual_packages, asked_by=asked_by, with_tests=self._run_tests
        )
        wants, bounds = left_to_others(wants, _given(plan))
        bounds += [spec for recipe in recipes for output in recipe.outputs for spec in output.constrains]
        done = mirror(
            wants,
            self.mirror.path,
            self._python,
            reporter,
            constraints=[*plan.constraints, *bounds],
            virtual_packages=plan.virtual_packages,
            refresh=self._refresh,
        )
        return done.url

    def _recipes(self, plan: Plan) -> list[Recipe]:
        known = self.local.read_state().get("recipes", {})
        return [load(folder, known.get(str(folder.resolve()))) for folder in plan.recipes]


def _given(plan: Plan) -> list[GivenChannel]:
    return given_channels(plan.channels, plan.subdir)
