"""Explicit locks beside the exported environments: every package by address and SHA-256, as conda reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import HostError
from ..workspace import EnvironmentPlan, Host, detect_host

if TYPE_CHECKING:
    from rattler import RepoDataRecord

_HEAD = """\
# Made by `pixi run export-envs --lock` for {platform}: exactly these packages, whatever channels offer later.
# conda create -n {name} --file {file}
@EXPLICIT
"""


def this_host(cuda: str | None) -> Host:
    """This machine, with the CUDA driver that is asked for, or with none."""
    host = detect_host()
    rest = {name: version for name, version in host.virtual_packages.items() if not name.startswith("__cuda")}
    return replace(host, virtual_packages=rest | ({"__cuda": cuda} if cuda else {}))


def explicit_lock(plan: EnvironmentPlan, name: str, file: str, channels: Sequence[str]) -> str:
    """Choose the packages of an environment and list them, each after those that it needs.

    :raises CallerError: nothing satisfies the requirements
    :raises HostError: a channel cannot be read, or tells no SHA-256
    """
    from rattler import PackageRecord

    from ..workspace import solve

    records = asyncio.run(solve(plan, channels))
    lines = {record.name.normalized: _line(record) for record in records}
    ordered = [lines[record.name.normalized] for record in PackageRecord.sort_topologically(list(records))]
    return _HEAD.format(platform=plan.platform.subdir, name=name, file=file) + "\n".join([*ordered, ""])


def _line(record: RepoDataRecord) -> str:
    if record.sha256 is None:
        raise HostError(f"the channel tells no SHA-256 of {record.file_name}", hint="have it indexed anew")
    return f"{record.url}#sha256:{record.sha256.hex()}"
