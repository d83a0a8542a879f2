"""`python -m ai_runner_base.cli.export_envs`: the environments of `pixi.toml` as `environment.yml` files for conda.

`pixi.toml` stays the one source: the files are written here and compared with it by a test. A program of its own and
not a command of `ai-runner`, because only a clone of the repository has the manifest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from ..errors import HostError
from ..workspace import EnvironmentPlan, Host, Manifest, read_manifest, resolve

_ROOT = Path(os.environ.get("PIXI_PROJECT_ROOT", "."))
OWN_CHANNEL = "livepeer"
"""Where the packages of this repository are published."""
_HEAD = "# Made from pixi.toml by `pixi run export-envs`; change it there. How to use it: envs/README.md\n"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--manifest", type=click.Path(path_type=Path), default=_ROOT / "pixi.toml", help="What to export."
)
@click.option(
    "--output", type=click.Path(path_type=Path), default=_ROOT / "envs", help="Folder of the files."
)
@click.option(
    "--channel",
    default=OWN_CHANNEL,
    show_default=True,
    help="Where the packages of this repository come from: a name, or the URL of a channel built here.",
)
def main(manifest: Path, output: Path, channel: str) -> None:
    """Write one NAME.yml for each environment, and NAME-cuda.yml where a GPU changes what is in it."""
    output.mkdir(parents=True, exist_ok=True)
    wanted = export(read_manifest(manifest), channel)
    for stale in {path.name for path in output.glob("*.yml")} - set(wanted):
        (output / stale).unlink()
    for name, text in wanted.items():
        (output / name).write_text(text, encoding="utf-8")
    click.echo(f"{len(wanted)} files in {output}")


def export(manifest: Manifest, channel: str = OWN_CHANNEL) -> dict[str, str]:
    """Turn every environment into the text of its files, by file name.

    A file for a GPU is made for the first platform that declares CUDA, where its packages differ. An environment
    that no other host can have gets that one, under its own name.

    :param channel: name or URL of the channel with the in-repo packages
    """
    files = {}
    for name in manifest.environments:
        gpu = resolve(manifest, name, _host(manifest, cuda=True))
        plain = _without_gpu(manifest, name) or gpu
        files[f"{name}.yml"] = _render(plain, name, channel)
        if gpu.specs != plain.specs:
            files[f"{name}-cuda.yml"] = _render(gpu, f"{name}-cuda", channel)
    return files


def _without_gpu(manifest: Manifest, name: str) -> EnvironmentPlan | None:
    try:
        return resolve(manifest, name, _host(manifest, cuda=False))
    except HostError:
        return None  # it is for GPU hosts alone


def _host(manifest: Manifest, *, cuda: bool) -> Host:
    declared = [platform.declared for platform in manifest.platforms if "__cuda" in platform.declared]
    return Host("linux-64", dict(declared[0]) if cuda and declared else {})


def _render(plan: EnvironmentPlan, name: str, channel: str) -> str:
    lines = [f"name: ai-runner-{name}", "channels:"]
    lines += [f"  - {item}" for item in (channel, *plan.source.channels)]
    lines += ["  - nodefaults", "dependencies:"]
    lines += [f"  - {_quoted(spec)}" for spec in sorted(plan.specs)]
    lines += _variables(plan.activation.env)
    return _HEAD + "\n".join(lines) + "\n"


def _variables(env: Mapping[str, str]) -> list[str]:
    return (
        ["variables:", *(f"  {key}: {_quoted(value)}" for key, value in sorted(env.items()))] if env else []
    )


def _quoted(text: str) -> str:
    """As a YAML scalar that every reader takes for text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


if __name__ == "__main__":
    main()
