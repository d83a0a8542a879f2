"""`ai-runner install`: a pipeline's package into an environment beside the runner's."""

from __future__ import annotations

from typing import Any

import click

from ._installing import changing, changing_options, channel_urls, tell
from ._options import examples


@click.command(
    name="install",
    epilog=examples(
        "ai-runner install my-pipeline -c livepeer",
        "ai-runner install my-pipeline==1.2 -e production",
        "ai-runner install my-pipeline -c ./output/channel",
    ),
)
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE[==VERSION]...")
@changing_options
def command(
    packages: tuple[str, ...], channels: tuple[str, ...], override_channels: bool, **where: Any
) -> None:
    """Install packages into a new environment, or into one that this command has made.

    The environment is complete, checked and started once before it can be used; until then, and if anything fails, the
    old one stays. A running runner takes it for its next stream.
    """
    with changing(packages, **where) as (into, specs):
        changed = into.install(specs, channel_urls(channels, override=override_channels))
    tell(changed)
