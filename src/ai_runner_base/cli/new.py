"""`ai-runner new`: a repository for a pipeline of one's own, whose tests are green at once."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from ..authoring import Answers, create
from ..catalog import Catalog
from ..errors import CallerError
from ._installing import DEFAULT_CHANNEL, EVERYTHING_ELSE, channel_url

_QUESTION = "Does it run on NVIDIA GPUs? Then hosts with a CUDA driver get a package of their own"


@click.command(name="new")
@click.argument("name")
@click.option(
    "--cuda/--no-cuda", default=None, help="A package for CUDA hosts beside one for others. Default: ask."
)
@click.option("--into", type=click.Path(path_type=Path), help="Folder of the repository. Default: NAME.")
@click.option(
    "--channel",
    "-c",
    "channels",
    multiple=True,
    metavar="NAME|URL|FOLDER",
    help="Where ai-runner-base comes from; repeatable. Default: where this one came from.",
)
def command(name: str, cuda: bool | None, into: Path | None, channels: tuple[str, ...]) -> None:
    """Make a repository for a pipeline: one class, its parameters, tests, recipe, environments and CI.

    NAME is what people will type, as in `ai-runner serve --pipeline NAME`.
    """
    answers = Answers(name, _channels(channels), cuda=False)
    for item in Catalog.scan().pipelines:
        if item.name == name:
            raise CallerError(
                f"a pipeline {name!r} is installed already: {item.package} {item.version} in {item.prefix}",
                hint="choose another name; runners find pipelines by it",
            )
    if cuda is None:
        cuda = sys.stdin.isatty() and sys.stdout.isatty() and click.confirm(_QUESTION, default=False)
    folder = into or Path(name)
    files = create(folder, Answers(answers.name, answers.channels, cuda=cuda))
    _tell(folder, files, answers)


def _tell(folder: Path, files: list[Path], answers: Answers) -> None:
    click.echo(f"{folder}: {len(files)} files; the pipeline is src/{answers.module}/pipeline.py")
    click.echo(f"  cd {folder}")
    click.echo("  scripts/pixiw run test    # green already")
    click.echo("  scripts/pixiw run dev     # edit, and see it in the running picture")


def _channels(given: tuple[str, ...]) -> list[str]:
    wanted = [channel_url(channel) for channel in given] or [_own_channel()]
    return list(dict.fromkeys((*wanted, EVERYTHING_ELSE)))


def _own_channel() -> str:
    """The channel that this ai-runner-base was installed from, by its conda record; without keys in it."""
    for record in sorted(Path(sys.prefix, "conda-meta").glob("ai-runner-base-[0-9]*.json")):
        url = str(json.loads(record.read_text(encoding="utf-8")).get("channel", "")).rstrip("/")
        if url:
            return _without_keys(url.removesuffix("/noarch"))
    return DEFAULT_CHANNEL


def _without_keys(url: str) -> str:
    """A channel's URL without user, password, and the tokens that anaconda.org and Quetz put into the path."""
    if not url.startswith("http"):
        return url
    return re.sub(r"/t/[^/]+/", "/", re.sub(r"(?<=://)[^/@]+@", "", url))
