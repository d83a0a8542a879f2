"""`ai-runner install`: a pipeline's package into an environment beside the runner's."""

from __future__ import annotations

from pathlib import Path

import click

from ._installing import Place, channel_options, channel_urls, installer, place_options, tell


@click.command(name="install")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE[==VERSION]...")
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
    """Install packages into a new environment, or into one that this command has made.

    The environment is complete, checked and started once before it can be used; until then, and if anything fails, the
    old one stays. A running runner takes it for its next stream.
    """
    with installer(Place.of(environment, prefix, packages), verbose=ctx.find_root().obj["verbose"]) as into:
        from ..workspace import match_spec

        specs = [match_spec(text) for text in packages]
        changed = into.install(specs, channel_urls(channels, override=override_channels))
    tell(changed)
