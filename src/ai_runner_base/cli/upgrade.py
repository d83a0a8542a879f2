"""`ai-runner upgrade`: newer versions, in a new generation of an environment."""

from __future__ import annotations

from pathlib import Path

import click

from ._installing import Place, channel_options, channel_urls, installer, place_options, tell


@click.command(name="upgrade")
@click.argument("packages", nargs=-1, metavar="[PACKAGE[==VERSION]]...")
@channel_options
@place_options
@click.pass_context
def command(
    ctx: click.Context,
    packages: tuple[str, ...],
    environment: str | None,
    prefix: Path | None,
    channels: tuple[str, ...],
    override_channels: bool,
) -> None:
    """Take newer versions of the named packages, or of everything in the environment.

    A version that was fixed at installation gives way to what is said now. Channels are those of the environment,
    unless others are named, which then go first.
    """
    with installer(Place.of(environment, prefix, packages), verbose=ctx.find_root().obj["verbose"]) as into:
        from ..workspace import match_spec

        specs = [match_spec(text) for text in packages]
        urls = channel_urls(channels, override=True) if channels else []
        changed = into.upgrade(specs, urls)
    tell(changed)
