"""Channels in folders that a manifest names (``file://``): they supply what they have, the mirror the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ai_runner_base.errors import CallerError

from ._wants import Want

if TYPE_CHECKING:
    from rattler import RepoDataRecord, SparseRepoData


@dataclass(frozen=True)
class GivenChannel:
    """A channel on this machine that somebody else keeps.

    :param subdir: of the platform; packages of ``noarch`` count, too
    """

    url: str
    subdir: str

    @property
    def indexes(self) -> list[Path]:
        """Files that say what it has.

        :raises CallerError: there is no channel in that place
        """
        folder = Path(unquote(urlsplit(self.url).path))
        wanted = [folder / subdir / "repodata.json" for subdir in (self.subdir, "noarch")]
        found = [path for path in wanted if path.is_file()]
        if not found:
            raise CallerError(
                f"channel {self.url}, which pixi.toml names, is not there",
                hint="make it again, or name another channel under workspace.channels",
            )
        return found

    @cached_property
    def _loaded(self) -> list[SparseRepoData]:
        from rattler import Channel, SparseRepoData

        return [SparseRepoData(Channel(self.url), path.parent.name, path) for path in self.indexes]

    def find(self, spec: str) -> RepoDataRecord | None:
        """Give the newest package that a match spec takes; of a name without such a one, the newest."""
        from rattler import MatchSpec, PackageName

        wanted = MatchSpec(spec, strict=False)
        name = PackageName(spec.split()[0])
        records = [record for index in self._loaded for record in index.load_records(name)]
        fitting = [record for record in records if wanted.matches(record)] or records
        return max(fitting, key=lambda r: (r.version, r.build_number, r.timestamp or 0), default=None)


def given_channels(channels: Sequence[str], subdir: str) -> list[GivenChannel]:
    """Pick the channels in folders out of a manifest's, in their order."""
    return [GivenChannel(channel, subdir) for channel in channels if channel.startswith("file://")]


def left_to_others(wants: Sequence[Want], given: Sequence[GivenChannel]) -> tuple[list[Want], list[str]]:
    """Replace what given channels supply by what that needs in turn.

    :returns: what others must supply, and the constraints of what is supplied
    """
    rest: list[Want] = []
    bounds: list[str] = []
    seen: set[tuple[str, str]] = set()
    queue = list(wants)
    while queue:
        want = queue.pop(0)
        record = next(_suppliers(want, given), None)
        if record is None:
            rest.append(want)
            continue
        name = record.name.normalized
        if (name, want.group) not in seen:
            seen.add((name, want.group))
            queue += [Want(spec, (*want.chain, name), want.group) for spec in record.depends]
            bounds += record.constrains
    return list(dict.fromkeys(rest)), bounds


def _suppliers(want: Want, given: Sequence[GivenChannel]) -> Iterator[RepoDataRecord]:
    for channel in given:
        record = channel.find(want.spec)
        if record is not None:
            yield record
