"""Ask the solver whether a channel satisfies what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import rattler
from rattler.exceptions import GatewayError, SolverError

from ai_runner_base.errors import HostError

from ._asks import Ask, strict
from ._store import ChannelDir, run


class Solver:
    """Solves groups of wants against one channel.

    :param virtual_packages: added to the host's own, which the solver finds itself
    """

    def __init__(
        self, channel: ChannelDir, constraints: Sequence[str], virtual_packages: Mapping[str, str]
    ) -> None:
        self._channel, self._constraints = channel, strict(constraints)
        self._virtual = _host_virtual_packages(virtual_packages)

    @property
    def has_cuda(self) -> bool:
        """Whether packages for CUDA may be chosen."""
        return any(package.name.normalized == "__cuda" for package in self._virtual)

    def try_all(self, groups: Mapping[str, Sequence[Ask]]) -> set[str]:
        """Give the packages that satisfy all groups, as ``SUBDIR/STEM.conda``; none if one is missing."""
        try:
            return self._solve(groups.values())
        except (SolverError, GatewayError):
            return set()

    def solve_all(self, groups: Mapping[str, Sequence[Ask]]) -> set[str]:
        """Give the packages that satisfy all groups.

        :raises HostError: something is missing, with the solver's reason
        """
        try:
            return self._solve(groups.values())
        except SolverError as error:
            raise HostError(
                f"what the Python index offers does not satisfy all that is wanted: {error}",
                hint="a build such as cpu* or cuda* must be on offer in an index that pip is set up for",
            ) from error

    def _solve(self, groups: Iterable[Sequence[Ask]]) -> set[str]:
        gateway = rattler.Gateway()
        found: set[str] = set()
        for asks in groups:
            records = run(
                rattler.solve(
                    sources=[self._channel.url],
                    specs=sorted({ask.conda for ask in asks}),
                    constraints=list(self._constraints),
                    virtual_packages=self._virtual,
                    gateway=gateway,
                )
            )
            found |= {f"{record.subdir}/{record.file_name}" for record in records}
        return found


def _host_virtual_packages(extra: Mapping[str, str]) -> list[rattler.GenericVirtualPackage]:
    """Detect the host's, with overrides from the environment (``CONDA_OVERRIDE_CUDA``), and add others."""
    overrides = rattler.VirtualPackageOverrides.from_env()
    found = [package.into_generic() for package in rattler.VirtualPackage.detect(overrides)]
    have = {package.name.normalized for package in found}
    build = rattler.package.BuildString.new_unchecked("0")
    return found + [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), build)
        for name, version in extra.items()
        if name not in have
    ]
