"""`ai-runner prepare`: fetch and compile what a pipeline needs, so that serving works offline."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import click

from ..catalog import Catalog, InstalledPipeline, activation_environment
from ..errors import PipelineError
from ._options import environments_option


@click.command(name="prepare")
@click.argument("name")
@click.option("-e", "--environment", help="Take the pipeline from this environment.")
@environments_option
def command(name: str, environment: str | None, environments: tuple[Path, ...]) -> None:
    """Run the pipeline's own preparation in its own environment.

    What it fetches goes to MODEL_DIR. Interrupt it at any time and start it again: a well-behaved pipeline resumes.
    """
    prepare(Catalog.scan(also=environments).find(name, environment))


def prepare(installed: InstalledPipeline) -> None:
    """Run a pipeline's preparation; its lines go to our own output.

    :raises PipelineError: it failed
    """
    env = activation_environment(installed.prefix, os.environ) | {"HF_HUB_OFFLINE": "0"}
    program = [str(installed.python), "-I", "-m", "ai_runner_base.worker", "--prepare", installed.entry_point]
    done = subprocess.run(program, env=env, check=False)
    if done.returncode:
        raise PipelineError(
            f"preparing {installed.name!r} failed with exit code {done.returncode}",
            hint="the lines above are the pipeline's own; running the command again resumes",
        )
    click.echo(f"{installed.name} is prepared")
