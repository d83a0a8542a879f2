"""`python -m ai_runner_base.cli.build_packages`: every recipe, built and tested into a channel that can be published.

In a repository of one pipeline that is the recipe at its root, else those of ``recipes/``.

A program of its own and not a command of `ai-runner`, because it needs the distribution side's libraries, which only
the environment `build` has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..channel import (
    GivenChannel,
    HostPython,
    build,
    given_channels,
    left_to_others,
    load,
    mirror,
    refusal,
    requirements_of,
)
from ..errors import CallerError, RunnerError
from ..workspace import detect_host, read_manifest
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
    try:
        plan = plan_build(recipes, channels, reporter, with_tests=test)
        built = build(
            plan.folders,
            output,
            plan.channels,
            reporter,
            virtual_packages=plan.virtual_packages,
            run_tests=test,
        )
    finally:
        display.close()
    click.echo(f"{len(built.made)} packages built; channel: {built.url}")


@dataclass(frozen=True)
class BuildPlan:
    """What to build, and where all else comes from.

    :param virtual_packages: leaves out variants that this host cannot use; None: all are built
    """

    folders: Sequence[Path]
    channels: Sequence[str]
    virtual_packages: Mapping[str, str] | None = None


def plan_build(
    recipes: Sequence[Path], channels: Sequence[str], reporter: EventReporter, *, with_tests: bool
) -> BuildPlan:
    """Take the channels that are named, else the manifest's; in an environment of pixiw its mirror behind folders."""
    folders = list(recipes) or _own_recipes()
    if channels:
        return BuildPlan(folders, channels)
    manifest = Path(os.environ.get("PIXI_PROJECT_MANIFEST", _ROOT / "pixi.toml"))
    named = read_manifest(manifest).channels if manifest.is_file() else ("conda-forge",)
    home = Path(os.environ.get("CONDA_PREFIX", "/")).parent.parent
    if not (home / "channel").is_dir():
        return BuildPlan(folders, named)
    os.environ.setdefault("RATTLER_CACHE_DIR", str(home / "cache"))  # others may have spoiled the user's
    python, host = HostPython.current(), detect_host().virtual_packages
    given = given_channels(named, python.subdir)
    if not recipes:
        folders = [f for f in folders if _can_be_fed(f, given, host, python, reporter, with_tests=with_tests)]
    wants = requirements_of([load(folder) for folder in folders], host, with_tests=with_tests)
    rest, bounds = left_to_others(wants, given)
    others = mirror(rest, home / "channel" / "mirror", python, reporter, constraints=bounds)
    return BuildPlan(folders, [*(channel.url for channel in given), others.url], host)


def _can_be_fed(
    folder: Path,
    given: Sequence[GivenChannel],
    host: Mapping[str, str],
    python: HostPython,
    reporter: EventReporter,
    *,
    with_tests: bool,
) -> bool:
    """Whether a mirror has what a recipe needs; such as CUDA it has not, and then the others are built all the same."""
    wants = requirements_of([load(folder)], host, with_tests=with_tests)
    error = refusal(left_to_others(wants, given)[0], python)
    if error is not None:
        reporter.note(f"{folder.name} is left out: {error.message}")
    return error is None


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
