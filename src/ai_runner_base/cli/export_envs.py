"""`python -m ai_runner_base.cli.export_envs`: the environments of `pixi.toml` as `environment.yml` files for conda.

`pixi.toml` stays the one source: the files are written here and compared with it by a test. A program of its own and
not a command of `ai-runner`, because only a clone of the repository has the manifest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ..errors import CallerError, HostError, RunnerError
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
@click.option(
    "--lock", is_flag=True, help="Also NAME.PLATFORM.lock for this platform: explicit, with hashes."
)
@click.option(
    "--environment",
    "-e",
    "only",
    multiple=True,
    help="Lock this environment; repeatable. Default: all that can be.",
)
@click.option(
    "--lock-channel",
    "others",
    multiple=True,
    help="Take all else from here, not from the manifest's channels.",
)
def main(
    manifest: Path, output: Path, channel: str, lock: bool, only: tuple[str, ...], others: tuple[str, ...]
) -> None:
    """Write one NAME.yml for each environment, and NAME-cuda.yml where a GPU changes what is in it.

    Locks name the hosts and the builds of one day, so none is kept in the repository.
    """
    output.mkdir(parents=True, exist_ok=True)
    wanted = export(read_manifest(manifest), channel)
    for stale in {path.name for path in output.glob("*.yml")} - set(wanted):
        (output / stale).unlink()
    for name, text in wanted.items():
        (output / name).write_text(text, encoding="utf-8")
    click.echo(f"{len(wanted)} files in {output}")
    if lock:
        _write_locks(read_manifest(manifest), output, channel, only, others)


def _write_locks(
    manifest: Manifest, output: Path, channel: str, only: Sequence[str], others: Sequence[str]
) -> None:
    """Lock what was asked for; what nobody asked for by name may fail without taking the rest along."""
    from ._locks import explicit_lock, this_host

    for stem, (name, cuda) in _variants(manifest).items():
        if only and name not in only:
            continue
        file = output / f"{stem}.{manifest.platforms[-1].subdir}.lock"
        file.unlink(missing_ok=True)
        try:
            driver = _host(manifest, cuda=cuda).virtual_packages.get("__cuda")
            plan = resolve(manifest, name, this_host(driver))
            channels = [channel, *(others or plan.source.channels)]
            file.write_text(explicit_lock(plan, f"ai-runner-{stem}", file.name, channels), encoding="utf-8")
        except CallerError as error:
            if only:
                raise
            click.echo(f"{stem}: no lock: {error.message}", err=True)
            continue
        click.echo(f"{file}: {file.read_text().count('#sha256:')} packages")


def _variants(manifest: Manifest) -> dict[str, tuple[str, bool]]:
    """Environment of each file, and whether it is for a host with CUDA, by the file's name without ending."""
    found: dict[str, tuple[str, bool]] = {}
    for name in manifest.environments:
        gpu, plain = resolve(manifest, name, _host(manifest, cuda=True)), _without_gpu(manifest, name)
        found[name] = (name, plain is None)
        if plain is not None and gpu.specs != plain.specs:
            found[f"{name}-cuda"] = (name, True)
    return found


def export(manifest: Manifest, channel: str = OWN_CHANNEL) -> dict[str, str]:
    """Turn every environment into the text of its files, by file name.

    A file for a GPU is made for the first platform that declares CUDA, where its packages differ. An environment
    that no other host can have gets that one, under its own name.

    :param channel: name or URL of the channel with the in-repo packages
    """
    files = {}
    for stem, (name, cuda) in _variants(manifest).items():
        plan = resolve(manifest, name, _host(manifest, cuda=cuda))
        files[f"{stem}.yml"] = _render(plan, stem, channel)
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
    code = 0
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except RunnerError as error:
        click.echo(f"error: {error.message}\n  {error.hint}", err=True)
        code = error.exit_code
    sys.stdout.flush()
    os._exit(code)  # py-rattler may crash while an interpreter ends
