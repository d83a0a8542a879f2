"""`ai-runner rollback`: back to the generation before the current one."""

from __future__ import annotations

from pathlib import Path

import click

from ._installing import Place, installer, place_options, tell


@click.command(name="rollback")
@click.argument("package", required=False)
@place_options
@click.pass_context
def command(ctx: click.Context, package: str | None, environment: str | None, prefix: Path | None) -> None:
    """Go back to what an environment held before its last change; at once, without network.

    Running streams go on with what they have; the next one takes the restored version.
    """
    place = Place.of(environment, prefix, [package] if package else [])
    with installer(place, verbose=ctx.find_root().obj["verbose"]) as into:
        changed = into.rollback()
    tell(changed)
