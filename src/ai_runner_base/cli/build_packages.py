"""`python -m ai_runner_base.cli.build_packages`: every recipe, built and tested into a channel that can be published.

A program of its own and not a command of `ai-runner`, because it needs the distribution side's libraries, which only
the environment `build` has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..channel import HostPython, build, load, mirror, requirements_of
from ..errors import CallerError, RunnerError
from ._pixiw_display import Display
from ._pixiw_events import EventReporter

_ROOT = Path(os.environ.get("PIXI_PROJECT_ROOT", "."))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipes", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=_ROOT / "output/channel",
    help="Folder of the channel.",
)
@click.option(
    "--channel", "channels", multiple=True, help="Where everything else comes from; may be repeated."
)
@click.option("--test/--no-test", default=True, show_default=True, help="Run the tests of the recipes.")
def main(recipes: tuple[Path, ...], output: Path, channels: tuple[str, ...], test: bool) -> None:
    """Build RECIPES (all of recipes/ by default) in the right order, test them, and index the channel."""
    display = Display(0)
    reporter = EventReporter(display.handle)
    folders = list(recipes) or sorted(path.parent for path in (_ROOT / "recipes").glob("*/recipe.yaml"))
    if not folders:
        raise CallerError(
            f"there are no recipes in {_ROOT / 'recipes'}", hint="name folders with a recipe.yaml"
        )
    try:
        others = list(channels) or _default_channels(folders, reporter, with_tests=test)
        built = build(folders, output, others, reporter, run_tests=test)
    finally:
        display.close()
    click.echo(f"{len(built.made)} packages built; channel: {built.url}")


def _default_channels(folders: Sequence[Path], reporter: EventReporter, *, with_tests: bool) -> list[str]:
    """In an environment of pixiw its mirror, made larger by what the builds need; else conda-forge."""
    home = Path(os.environ.get("CONDA_PREFIX", "/")).parent.parent
    if not (home / "channel").is_dir():
        return ["conda-forge"]
    wants = requirements_of([load(folder) for folder in folders], with_tests=with_tests)
    return [mirror(wants, home / "channel" / "mirror", HostPython.current(), reporter).url]


if __name__ == "__main__":
    code = 0
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except RunnerError as error:
        click.echo(f"error: {error.message}\n  {error.hint}", err=True)
        code = error.exit_code
    sys.stdout.flush()
    # py-rattler may crash while an interpreter ends.
    os._exit(code)
