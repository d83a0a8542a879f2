"""Mirror the third-party closure: ask a Python index for it, and put it into a channel as conda packages.

A requirement set that was mirrored before costs a look at one file. A new one is first tried against the
channel as it is (so that another environment, or a machine without a network, needs nothing new); only then
pip resolves it. Packages are never replaced under their name: a changed wheel, interpreter or conversion has
another build string.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ai_runner_base.errors import HostError

from . import host_python, names, versions, wheels
from ._pip import Pip, PipError
from ._protocols import Reporter, Silent
from ._store import ChannelDir
from ._wants import Want
from .conda_writer import CondaWriter, Package, PackageIndex
from .host_python import HostPython

if TYPE_CHECKING:
    from ._asks import Ask
    from ._solving import Solver

_FORMAT = 1
_WORKERS = 2
_REMEMBERED_SETS = 50


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What `mirror` did.

    :param url: of the channel
    :param made: packages that are new in the channel, as ``SUBDIR/STEM.conda``
    :param fetched_bytes: size of the wheels that were fetched
    """

    url: str
    made: tuple[str, ...] = ()
    fetched_bytes: int = 0


def refusal(wants: Sequence[Want], python: HostPython) -> HostError | None:
    """Say why no mirror on this machine can have what is wanted, as far as that shows without asking an index."""
    from ._asks import translate

    try:
        translate(wants, python)
    except HostError as error:
        return error
    return None


def mirror(
    wants: Sequence[Want],
    channel_dir: Path,
    python: HostPython,
    reporter: Reporter | None = None,
    *,
    constraints: Sequence[str] = (),
    virtual_packages: Mapping[str, str] | None = None,
    refresh: bool = False,
) -> Mirrored:
    """Make sure that a channel can satisfy what is wanted.

    :param constraints: match specs that bind only what something else installs
    :param virtual_packages: what a solve may rely on besides the host's own, e.g. ``{"__cuda": "12.8"}``
    :param refresh: look for newer versions, even if the channel satisfies everything
    :raises HostError: a package cannot be supplied (who wants it, the ways out), or no index answers
    """
    job = _Job(tuple(wants), ChannelDir(channel_dir), python, reporter or Silent(), tuple(constraints))
    if not refresh and job.is_done():
        return Mirrored(job.channel.url)
    return job.run(virtual_packages or {}, refresh)


@dataclass(frozen=True)
class _Job:
    wants: tuple[Want, ...]
    channel: ChannelDir
    python: HostPython
    reporter: Reporter
    constraints: tuple[str, ...]

    @property
    def key(self) -> str:
        """Changes with everything that decides what the channel must hold."""
        wanted = sorted((want.group, want.spec) for want in self.wants)
        parts = [_FORMAT, wheels.BUILD_NUMBER, self.python.tag, wanted, sorted(self.constraints)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def is_done(self) -> bool:
        """Look at the state only: no lock, no solver, no other process."""
        files = self.channel.read_state().get("sets", {}).get(self.key)
        return bool(files) and self.channel.is_indexed and all(file in self.channel for file in files)

    def run(self, virtual_packages: Mapping[str, str], refresh: bool) -> Mirrored:
        from ._asks import translate
        from ._solving import Solver

        groups = translate(self.wants, self.python)
        solver = Solver(self.channel, self.constraints, virtual_packages)
        with self.channel.lock(self.reporter):
            known = set(self.channel.packages())
            fetched_bytes = 0
            if refresh or not self._satisfies(solver, groups):
                with self.channel.work_dir() as work:
                    made = _Maker(self, groups, work, solver.has_cuda).make()
                    self.channel.publish(made.files, self._keep, self.reporter)
                fetched_bytes = made.fetched_bytes
                self._remember(solver.solve_all(groups))
            new = sorted(set(self.channel.packages()) - known)
        return Mirrored(self.channel.url, tuple(new), fetched_bytes)

    def _satisfies(self, solver: Solver, groups: Mapping[str, Sequence[Ask]]) -> bool:
        """Try the channel as it is, with the interpreter as it is now."""
        if not self.channel.is_indexed:
            return False
        self._renew_host()
        files = solver.try_all(groups)
        if not files or not all(file in self.channel for file in files):
            return False
        self._remember(files)
        return True

    def _renew_host(self) -> None:
        """Replace the python package where the interpreter is another one than last time."""
        if not all(file in self.channel for file in self._host_files()):
            with self.channel.work_dir() as work:
                self.channel.publish(host_python.write(self.python, work), self._keep, self.reporter)

    def _host_files(self) -> tuple[str, str]:
        indexes = (host_python.package_index(self.python), host_python.abi_index(self.python))
        return indexes[0].file_name, indexes[1].file_name

    def _keep(self, file_name: str) -> bool:
        """Keep everything but other interpreters: a link to one that is gone must not be chosen."""
        stem = file_name.rpartition("/")[2]
        return file_name in self._host_files() or not re.match(r"python(_abi)?-\d", stem)

    def _remember(self, files: Iterable[str]) -> None:
        sets = self.channel.read_state().get("sets", {})
        sets.pop(self.key, None)
        kept = dict(list(sets.items())[-_REMEMBERED_SETS + 1 :])
        self.channel.write_state({"sets": {**kept, self.key: sorted(files)}})


@dataclass(frozen=True, slots=True)
class _Made:
    files: list[Package]
    fetched_bytes: int


@dataclass(frozen=True)
class _Maker:
    """Fetches and converts what one requirement set needs, into a work folder."""

    job: _Job
    groups: Mapping[str, Sequence[Ask]]
    work: Path
    has_cuda: bool

    def make(self) -> _Made:
        pip = Pip.find(self.job.python, self.job.channel.path / ".tools")
        paths = self._fetch(pip)
        out = self.work / "packages"
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="channel-convert") as pool:
            closures = [{w.name: w for w in pool.map(wheels.Wheel.read, group)} for group in paths]
            plans = [
                wheels.plan(w, closure, self.job.python) for closure in closures for w in closure.values()
            ]
            todo = {p.index.file_name: p for p in plans if p.index.file_name not in self.job.channel}
            ordered = sorted(
                todo.values(), key=lambda plan: -plan.wheel.size_bytes
            )  # keeps both threads busy
            files = self._convert_all(pool, ordered, out)
        files += self._aliases(plans, out)
        files += host_python.write(self.job.python, out)
        unique = {path for group in paths for path in group}
        return _Made(files, sum(path.stat().st_size for path in unique))

    def _convert_all(
        self, pool: ThreadPoolExecutor, plans: Sequence[wheels.Conversion], out: Path
    ) -> list[Package]:
        """Convert in the pool's threads; when one fails, or Ctrl-C comes, the others stop at their next file."""
        stopped = threading.Event()

        def convert(plan: wheels.Conversion) -> Package:
            name = f"{plan.index.name} {plan.index.version}"
            with self.job.reporter.step("convert", name, plan.wheel.size_bytes) as step:

                def advance(size_bytes: int) -> None:
                    if stopped.is_set():
                        raise InterruptedError(f"{name} is not converted: another conversion was stopped")
                    step.advance(size_bytes)

                return wheels.convert(plan, out, advance)

        try:
            return list(pool.map(convert, plans))
        except BaseException:
            stopped.set()
            raise

    def _fetch(self, pip: Pip) -> list[list[Path]]:
        """Fetch wheels, all groups at once where their requirements agree, else one group after the other."""
        from ._asks import constraint_lines

        bounds = constraint_lines(self.job.constraints)
        groups = {group: self._requirements(pip, asks) for group, asks in self.groups.items()}
        together = sorted({line for lines in groups.values() for line in lines})
        with self.job.reporter.step("resolve", f"{len(together)} requirements"):
            try:
                return [self._download(pip, together, bounds, "wheels")]
            except PipError as error:
                if not error.is_conflict or len(groups) == 1:
                    raise self._explain(error) from error
            try:
                return [
                    self._download(pip, lines, bounds, f"wheels-{n}")
                    for n, lines in enumerate(groups.values())
                ]
            except PipError as error:
                raise self._explain(error) from error

    def _download(self, pip: Pip, lines: Sequence[str], bounds: Sequence[str], folder: str) -> list[Path]:
        return pip.download(lines, bounds, self.work / folder / "files", self.job.reporter)

    def _requirements(self, pip: Pip, asks: Sequence[Ask]) -> list[str]:
        """Give what pip is asked for; where a build is wanted, the newest version that has such a build."""
        lines = []
        for ask in asks:
            if ask.requirement is None:
                continue
            build = ask.build or ("cpu*" if ask.name == "pytorch" and not self.has_cuda else None)
            chosen = (
                _version_with_build(pip.versions(ask.pypi or ""), ask.requirement, build) if build else None
            )
            lines.append(f"{ask.pypi}=={chosen}" if chosen else ask.requirement)
        return sorted(set(lines))

    def _aliases(self, plans: Sequence[wheels.Conversion], out: Path) -> list[Package]:
        """Write the second spellings that somebody wants."""
        wanted = {ask.alias for asks in self.groups.values() for ask in asks if ask.alias}
        targets = {plan.index.name: plan.index for plan in plans}
        made = []
        for alias in sorted(wanted):
            index = _alias_index(alias, targets[names.canonical(alias)])
            if index.file_name not in self.job.channel:
                with CondaWriter(out, index, mtime_s=index.timestamp_ms // 1000) as writer:
                    made.append(writer.close({"summary": f"another name of {names.canonical(alias)}"}))
        return made

    def _explain(self, error: PipError) -> HostError:
        """Turn what pip said into whose wish it was, and the ways out."""
        from ._asks import who_wants

        python = self.job.python
        if error.is_missing:
            return HostError(
                f"{python.executable} has no pip, which fetches what environments need",
                hint="install pip for it; on Debian and Ubuntu: apt install python3-pip",
            )
        if error.is_unreachable:
            return HostError(
                f"no Python index could be reached: {error.log[-1]}",
                hint="connect, or tell pip where its index is; environments that exist go on working",
            )
        if missing := error.not_found:
            project = canonicalize_name(re.split(r"[^\w.-]", missing, maxsplit=1)[0])
            who = who_wants(self.groups, project)
            return HostError(
                f"the Python index has no wheel of {missing} for Python {python.minor} on {python.subdir}"
                + (f"; wanted by {who}" if who else ""),
                hint=f"if there is a source archive, build it once (pip wheel {project} -w DIR) and set "
                "PIP_FIND_LINKS=DIR; or use pixi with conda-forge, or another environment",
            )
        told = "\n  ".join(error.log)
        return HostError(f"pip found no set of versions that fits together:\n  {told}")


def _version_with_build(available: Sequence[str], requirement: str, build: str) -> str | None:
    """Choose the newest version whose local part gives a build string that a glob takes."""
    specifier = Requirement(requirement).specifier
    fitting = []
    for text in available:
        try:
            version = Version(text)
        except InvalidVersion:
            continue
        flavour = versions.local_build(version)
        if flavour and fnmatch.fnmatchcase(f"{flavour}_", build) and specifier.contains(version.public):
            fitting.append(version)
    return str(max(fitting)) if fitting else None


def _alias_index(alias: str, target: PackageIndex) -> PackageIndex:
    build = names.ALIAS_BUILDS.get(alias, "")
    depends = f"{target.name} =={target.version} {build}".strip()
    digest = hashlib.sha256(depends.encode()).hexdigest()[:7]
    return PackageIndex(
        name=alias,
        version=target.version,
        build=f"h{digest}_{wheels.BUILD_NUMBER}",
        build_number=wheels.BUILD_NUMBER,
        subdir="noarch",
        noarch="generic",
        timestamp_ms=target.timestamp_ms,
        depends=(depends,),
        license=target.license,
    )
