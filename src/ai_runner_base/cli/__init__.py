"""The `ai-runner` command: one module per subcommand, imported when it is used.

Errors for people are one line and an exit code; `-v` adds the traceback.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from .. import __version__
from ..errors import Fault, RunnerError

_COMMANDS = {
    "serve": "Serve pipelines over HTTP: live streams in, live streams out",
    "run": "Send a file or URL through a pipeline into another one",
    "pipelines": "List the installed pipelines and their parameters",
    "prepare": "Fetch what a pipeline needs before it can serve offline",
    "new": "Make a repository for a pipeline of your own",
    "dev": "Serve a pipeline's source; a change takes effect in the running stream",
    "check": "Check whether a pipeline is a good citizen of a host",
    "doctor": "Say what this host offers and what is missing for which environment",
    "install": "Install a pipeline's package into an environment beside this one",
    "upgrade": "Take newer versions of an environment's packages",
    "rollback": "Go back to what an environment held before its last change",
    "uninstall": "Remove packages, or the environment with the last of them",
    "publish": "Build, check and publish packages, to a server or a folder",
    "service": "Show, install or remove a systemd unit for this runner",
}

_WHOSE = {
    Fault.CALLER: "error",
    Fault.PIPELINE: "error in the pipeline",
    Fault.PEER: "error at the other end",
    Fault.HOST: "error on this host",
    Fault.RUNNER: "error in ai-runner (please report it)",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __name__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="ai-runner")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    envvar="VERBOSE_LOGGING",
    help="More log lines, and tracebacks of errors.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar="AI_RUNNER_LOG_FORMAT",
    show_default=True,
)
@click.pass_context
def cli(ctx: click.Context, verbose: bool, log_format: str) -> None:
    """Live video through AI pipelines, each one a conda package in an environment of its own."""
    from ._logging import configure

    ctx.obj = {"verbose": verbose}
    configure(verbose=verbose, as_json=log_format == "json")


def main() -> None:
    """Run the command line and exit with 0, or with the code of the error's kind (see `errors`)."""
    code = run(sys.argv[1:])
    if "rattler" in sys.modules:  # py-rattler may crash while an interpreter ends
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Run the command line `argv` and return the exit code; 130 after Ctrl-C."""
    verbose = bool({"-v", "--verbose"} & set(argv))
    try:
        result = cli.main(args=argv, prog_name="ai-runner", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except RunnerError as error:
        _show(error, verbose)
        return error.exit_code
    return result if isinstance(result, int) else 0


def _show(error: RunnerError, verbose: bool) -> None:
    click.echo(f"{_WHOSE[error.fault]}: {error.message}", err=True)
    if error.hint:
        click.echo(f"  → {error.hint}", err=True)
    if verbose:
        import traceback

        click.echo(
            getattr(error, "remote_traceback", "") or "".join(traceback.format_exception(error)), err=True
        )
