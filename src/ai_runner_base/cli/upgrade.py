"""`ai-runner upgrade`: newer versions, in a new generation of an environment."""

from __future__ import annotations

from typing import Any

import click

from ._installing import changing, changing_options, channel_urls, tell


@click.command(name="upgrade")
@click.argument("packages", nargs=-1, metavar="[PACKAGE[==VERSION]]...")
@changing_options
def command(
    packages: tuple[str, ...], channels: tuple[str, ...], override_channels: bool, **where: Any
) -> None:
    """Take newer versions of the named packages, or of everything in the environment.

    A version that was fixed at installation gives way to what is said now. Channels are those of the environment,
    unless others are named, which then go first.
    """
    with changing(packages, **where) as (into, specs):
        changed = into.upgrade(specs, channel_urls(channels, override=True) if channels else [])
    tell(changed)
