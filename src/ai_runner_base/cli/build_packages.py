"""`python -m ai_runner_base.cli.build_packages`: every recipe, built and tested into a channel that can be published.

In a repository of one pipeline that is the recipe at its root, else those of ``recipes/``.

A program of its own and not a command of `ai-runner`, because it needs the distribution side's libraries, which only
the environment `build` has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..channel import HostPython, build, given_channels, left_to_others, load, mirror, requirements_of
from ..errors import CallerError, RunnerError
from ..workspace import read_manifest
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
    """Build RECIPES (by default those of the repository) in the right order, test them, and index the channel."""
    display = Display(0)
    reporter = EventReporter(display.handle)
    folders = list(recipes) or _own_recipes()
    try:
        others = list(channels) or _default_channels(folders, reporter, with_tests=test)
        built = build(folders, output, others, reporter, run_tests=test)
    finally:
        display.close()
    click.echo(f"{len(built.made)} packages built; channel: {built.url}")


def _own_recipes() -> list[Path]:
    if (_ROOT / "recipe.yaml").is_file():
        return [_ROOT]
    found = sorted(path.parent for path in (_ROOT / "recipes").glob("*/recipe.yaml"))
    if not found:
        raise CallerError(
            f"there is no recipe.yaml in {_ROOT} or in a folder of {_ROOT / 'recipes'}",
            hint="name folders with a recipe.yaml",
        )
    return found


def _default_channels(folders: Sequence[Path], reporter: EventReporter, *, with_tests: bool) -> list[str]:
    """The manifest's; in an environment of pixiw its mirror, made larger by what the builds need, behind folders."""
    manifest = Path(os.environ.get("PIXI_PROJECT_MANIFEST", _ROOT / "pixi.toml"))
    named = read_manifest(manifest).channels if manifest.is_file() else ("conda-forge",)
    home = Path(os.environ.get("CONDA_PREFIX", "/")).parent.parent
    if not (home / "channel").is_dir():
        return list(named)
    given = given_channels(named, HostPython.current().subdir)
    wants = requirements_of([load(folder) for folder in folders], with_tests=with_tests)
    rest, bounds = left_to_others(wants, given)
    others = mirror(rest, home / "channel" / "mirror", HostPython.current(), reporter, constraints=bounds)
    return [*(channel.url for channel in given), others.url]


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
