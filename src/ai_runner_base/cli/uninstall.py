"""`ai-runner uninstall`: packages away, and the environment with the last of them."""

from __future__ import annotations

from pathlib import Path

import click

from ._installing import Place, installer, place_options, tell


@click.command(name="uninstall")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@place_options
@click.pass_context
def command(
    ctx: click.Context, packages: tuple[str, ...], environment: str | None, prefix: Path | None
) -> None:
    """Remove packages with what only they needed.

    With the last package that was asked for the whole environment goes. What a running worker uses stays on disk
    until it ends.
    """
    place = Place.of(environment, prefix, packages)
    with installer(place, verbose=ctx.find_root().obj["verbose"]) as into:
        changed = into.uninstall([name.lower() for name in packages])
    if changed is None:
        click.echo(f"{place.folder / place.name}: removed")
    else:
        tell(changed)
