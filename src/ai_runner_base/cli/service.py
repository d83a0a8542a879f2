"""`ai-runner service`: a runner as a systemd service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from ..catalog import Catalog, environment_name
from ..errors import CallerError, HostError
from ._options import examples
from ._unit import MARK, Unit

_LIMIT_S = 120


@click.command(
    name="service",
    epilog=examples(
        "ai-runner service show -e my-pipeline",
        "sudo ai-runner service install -e my-pipeline --gpus 0 -- --host 0.0.0.0",
        "sudo ai-runner service uninstall -e my-pipeline",
    ),
)
@click.argument("action", type=click.Choice(["show", "install", "uninstall"]))
@click.argument("words", nargs=-1, metavar="[-- SERVE OPTION...]")
@click.option("--environment", "-e", metavar="NAME", help="Serve the pipelines of this environment.")
@click.option("--name", metavar="NAME", help="Name of the unit. Default: ai-runner-ENVIRONMENT.")
@click.option("--user", "user_unit", is_flag=True, help="A unit of your own, without root.")
@click.option("--run-as", default="", metavar="USER", help="User of a system unit. Default: a dynamic one.")
@click.option("--gpus", default="", metavar="ID[,ID…]|none", help="CUDA devices; none: no device at all.")
@click.option(
    "--env-file", type=click.Path(path_type=Path), help="File of variables, AUTH_TOKEN for example."
)
@click.option(
    "--writable",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder that may be written to; repeatable.",
)
@click.option(
    "--stop-timeout",
    type=click.IntRange(5),
    default=90,
    show_default=True,
    help="Seconds until it is killed; longer than serve's --drain-timeout.",
)
@click.option("--no-start", is_flag=True, help="Write the unit and leave systemd alone.")
@click.option("--unit-dir", type=click.Path(path_type=Path), help="Folder of the unit file.")
def command(
    action: str,
    words: tuple[str, ...],
    environment: str | None,
    name: str | None,
    unit_dir: Path | None,
    no_start: bool,
    env_file: Path | None,
    user_unit: bool,
    writable: tuple[Path, ...],
    run_as: str,
    gpus: str,
    stop_timeout: int,
) -> None:
    """Show, install or remove a systemd unit that runs `ai-runner serve` with the words behind `--`.

    `show` prints the unit and touches nothing. `install` writes, enables and starts it; systemd is told when the runner
    is ready, starts it again when it fails, and keeps its log in the journal.
    """
    name = name or f"ai-runner-{environment or environment_name(Path(sys.prefix))}"
    folder = unit_dir or _unit_folder(user_unit=user_unit)
    if action == "uninstall":
        _uninstall(folder / f"{name}.service", user_unit=user_unit, leave_systemd=no_start)
        return
    unit = Unit(
        name=name,
        command=(*_program(), "serve", *_pipelines(environment), *words),
        prefix=Path(sys.prefix),
        environment_file=(env_file or _env_folder(user_unit=user_unit) / f"{name}.env").absolute(),
        user_unit=user_unit,
        gpus=gpus,
        run_as=run_as,
        writable=tuple(path.absolute() for path in writable),
        stop_timeout_s=stop_timeout,
    )
    if action == "show":
        click.echo(unit.render(), nl=False)
    else:
        _install(unit, folder / unit.file_name, leave_systemd=no_start)


def _program() -> tuple[str, ...]:
    script = Path(sys.prefix) / "bin" / "ai-runner"
    return (
        (str(script),) if script.exists() else (str(Path(sys.prefix) / "bin/python"), "-m", "ai_runner_base")
    )


def _pipelines(environment: str | None) -> list[str]:
    if environment is None:
        return []
    found = [
        item for item in Catalog.scan().pipelines if item.environment == environment and not item.problem
    ]
    if not found:
        raise CallerError(f"environment {environment!r} has no pipeline", hint="see: ai-runner pipelines")
    return [word for item in found for word in ("--pipeline", f"{item.name}@{environment}")]


def _unit_folder(*, user_unit: bool) -> Path:
    return _config_home() / "systemd/user" if user_unit else Path("/etc/systemd/system")


def _env_folder(*, user_unit: bool) -> Path:
    return _config_home() / "ai-runner" if user_unit else Path("/etc/ai-runner")


def _config_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _install(unit: Unit, path: Path, *, leave_systemd: bool) -> None:
    if not leave_systemd:
        _require_systemd(user_unit=unit.user_unit)
    _require_ours(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(unit.render(), encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise _not_allowed(path, error) from error
    click.echo(f"wrote {path}; variables such as AUTH_TOKEN belong into {unit.environment_file}")
    if not leave_systemd:
        _systemctl("daemon-reload", user_unit=unit.user_unit)
        _systemctl("enable", unit.file_name, user_unit=unit.user_unit)
        _systemctl("restart", unit.file_name, user_unit=unit.user_unit)
        click.echo(
            f"{unit.name} runs; its log: journalctl {'--user ' if unit.user_unit else ''}-u {unit.name}"
        )


def _uninstall(path: Path, *, user_unit: bool, leave_systemd: bool) -> None:
    if not path.exists():
        raise CallerError(
            f"there is no unit {path}", hint="name it with --name; with --user if it was made so"
        )
    _require_ours(path)
    if not leave_systemd:
        _systemctl("disable", "--now", path.name, user_unit=user_unit)
    try:
        path.unlink()
    except OSError as error:
        raise _not_allowed(path, error) from error
    if not leave_systemd:
        _systemctl("daemon-reload", user_unit=user_unit)
    click.echo(f"removed {path}")


def _require_ours(path: Path) -> None:
    if path.exists() and not path.read_text(encoding="utf-8").startswith(MARK):
        raise CallerError(f"{path} was not made by `ai-runner service install`", hint="choose another --name")


def _not_allowed(path: Path, error: OSError) -> HostError:
    return HostError(
        f"cannot change {path}: {error.strerror}", hint="run it as root, or take a unit of your own: --user"
    )


def _require_systemd(*, user_unit: bool) -> None:
    """Find out before anything is written: containers have a systemctl, but nothing that answers it."""
    try:
        _systemctl("show", "--property=Version", user_unit=user_unit)
    except HostError as error:
        hint = "`ai-runner service show` prints the unit; --no-start writes it and asks no systemd"
        raise HostError(error.message, hint=hint) from error


def _systemctl(*words: str, user_unit: bool) -> None:
    program = shutil.which("systemctl")
    if program is None:
        raise HostError(
            "there is no systemctl here", hint="print the unit with `ai-runner service show` instead"
        )
    whole = [program, *(["--user"] if user_unit else []), *words]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise HostError(f"{' '.join(whole)} failed: {done.stderr.strip()}", hint="see: journalctl -xe")
