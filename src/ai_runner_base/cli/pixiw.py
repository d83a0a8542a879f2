"""The program behind `scripts/pixiw`: pixi's words, done by py-rattler.

Kept light: starting a task in an environment that is ready imports neither the solver nor the display's
library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import __version__
from ..errors import CallerError, Fault, RunnerError
from ._pixiw_session import Freshness, Options, Session
from ._pixiw_work import Terminated, raise_on_sigterm

_NOT_HERE = {
    "add": "edit pixi.toml",
    "auth": "channels here need no credentials",
    "build": "use: pixiw run build-packages",
    "config": "pixiw has no configuration files; see docs/pixiw.md for its environment variables",
    "exec": "use: pixiw run PROGRAM",
    "global": "install programs with pixi or conda",
    "import": "edit pixi.toml",
    "init": "use: ai-runner new",
    "lock": "use: pixiw install",
    "publish": "use: pixiw run build-packages",
    "reinstall": "use: pixiw clean, then pixiw install",
    "remove": "edit pixi.toml",
    "search": "search with pixi or conda",
    "self-update": "pixiw comes with this repository",
    "shell": 'use: eval "$(pixiw shell-hook)"',
    "tree": "use: pixiw list",
    "update": "use: pixiw clean cache, then pixiw install",
    "upgrade": "edit pixi.toml",
    "upload": "use: pixiw run build-packages, then copy the channel",
    "workspace": "use: pixiw info",
}
# Taken out of the environment: tasks may call another workspace's pixiw.
_WRAPPER_ROOT = Path(root) if (root := os.environ.pop("PIXIW_ROOT", "")) else None
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Group(click.Group):
    """Knows which of pixi's commands are not here, and says what to do in place of them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _NOT_HERE:
            raise CallerError(f"pixiw has no command {args[0]!r} as pixi has", hint=_NOT_HERE[args[0]])
        return super().resolve_command(ctx, args)


def _common(function: _Function) -> _Function:
    for option in (
        click.option(
            "--manifest-path", "-m", type=click.Path(path_type=Path), help="A pixi.toml or its folder."
        ),
        click.option("--verbose", "-v", count=True, help="Show every detail."),
        click.option("--quiet", "-q", count=True, help="Show errors only."),
    ):
        function = option(function)
    return function


def _freshness(function: _Function) -> _Function:
    for option in (
        click.option(
            "--frozen", is_flag=True, help="Use the packages chosen before, whatever pixi.toml says now."
        ),
        click.option("--locked", is_flag=True, help="Fail if the packages would have to be chosen anew."),
        click.option("--no-install", is_flag=True, help="Use what is installed, or fail."),
        click.option("--as-is", is_flag=True, help="Same as --frozen --no-install."),
    ):
        function = option(function)
    return function


def _environment(function: _Function) -> _Function:
    return click.option("--environment", "-e", metavar="NAME", help="The environment.")(function)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="pixiw")
@_common
@click.pass_context
def cli(ctx: click.Context, /, **common: Any) -> None:
    """Environments and tasks of pixi.toml, without pixi: the same words, packages made on this machine."""
    ctx.obj = common


def _session(ctx: click.Context, common: dict[str, Any]) -> Session:
    """Options may stand before the command, behind it, or both."""
    before = ctx.obj
    verbosity = sum(part["verbose"] - part["quiet"] for part in (before, common))
    purpose = " ".join([ctx.info_name or "", *ctx.params.get("words", ())])
    given = common["manifest_path"] or before["manifest_path"]
    return Session(Options(given, verbosity, purpose, _WRAPPER_ROOT))


def _fresh(options: dict[str, Any]) -> Freshness:
    as_is = options.pop("as_is")
    frozen, locked, no_install = (options.pop(name) for name in ("frozen", "locked", "no_install"))
    if frozen and locked:
        raise CallerError("--frozen and --locked exclude each other")
    return Freshness(frozen or as_is, locked, no_install or as_is)


@cli.command(context_settings={"allow_interspersed_args": False})
@_common
@_freshness
@_environment
@click.option("--executable", "-x", is_flag=True, help="Run a program, even if a task has its name.")
@click.option("--skip-deps", is_flag=True, help="Leave out the tasks that the task depends on.")
@click.option("--dry-run", "-n", is_flag=True, help="Say what would run.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[TASK | PROGRAM] [ARGUMENT]...")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    environment: str | None,
    executable: bool,
    skip_deps: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Run a task, or a program of an environment. Makes the environment first, if need be."""
    from ._pixiw_tasks import list_tasks, run_words

    freshness = _fresh(options)
    session = _session(ctx, options)
    if not words:
        list_tasks(session, environment, as_json=False)
        return 0
    return run_words(
        session, words, environment, freshness, executable=executable, skip_deps=skip_deps, dry_run=dry_run
    )


@cli.command()
@_common
@_freshness
@click.option("--environment", "-e", "environments", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--all", "-a", "everything", is_flag=True, help="All environments that this host can run.")
@click.pass_context
def install(ctx: click.Context, /, environments: tuple[str, ...], everything: bool, **options: Any) -> None:
    """Make environments ready for use."""
    from ._pixiw_reports import install_environments

    freshness = _fresh(options)
    install_environments(_session(ctx, options), environments, freshness, everything=everything)


@cli.group()
@_common
@click.pass_context
def task(ctx: click.Context, /, **common: Any) -> None:
    """Tasks of pixi.toml."""
    before = ctx.obj
    ctx.obj = {
        "manifest_path": common["manifest_path"] or before["manifest_path"],
        "verbose": common["verbose"] + before["verbose"],
        "quiet": common["quiet"] + before["quiet"],
    }


@task.command("list")
@_common
@_environment
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def task_list(ctx: click.Context, /, environment: str | None, as_json: bool, **common: Any) -> None:
    """List the tasks, with what they do and where they run."""
    from ._pixiw_tasks import list_tasks

    list_tasks(_session(ctx, common), environment, as_json=as_json)


@cli.command("list")
@_common
@_freshness
@_environment
@click.option("--explicit", "-x", is_flag=True, help="Only what the manifest asks for.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("pattern", required=False)
@click.pass_context
def list_packages(
    ctx: click.Context,
    /,
    environment: str | None,
    explicit: bool,
    as_json: bool,
    pattern: str | None,
    **options: Any,
) -> None:
    """List the packages of an environment; PATTERN is a regular expression on names."""
    from ._pixiw_reports import list_packages as report

    freshness = _fresh(options)
    session = _session(ctx, options)
    report(session, environment or "default", freshness, pattern or "", explicit=explicit, as_json=as_json)


@cli.command()
@_common
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def info(ctx: click.Context, /, as_json: bool, **common: Any) -> None:
    """Describe this host, the workspace and its environments."""
    from ._pixiw_reports import show_info

    show_info(_session(ctx, common), as_json=as_json)


@cli.command("shell-hook")
@_common
@_freshness
@_environment
@click.option(
    "--shell", "-s", type=click.Choice(["bash", "zsh", "sh", "fish"]), default="bash", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The variables, for programs.")
@click.pass_context
def shell_hook(
    ctx: click.Context, /, environment: str | None, shell: str, as_json: bool, **options: Any
) -> None:
    """Print what activates an environment in a shell: eval "$(pixiw shell-hook)"."""
    from ._pixiw_reports import print_shell_hook

    freshness = _fresh(options)
    print_shell_hook(_session(ctx, options), environment or "default", freshness, shell, as_json=as_json)


@cli.command()
@_common
@_environment
@click.argument("what", type=click.Choice(["environments", "cache", "all"]), default="environments")
@click.pass_context
def clean(ctx: click.Context, /, environment: str | None, what: str, **common: Any) -> None:
    """Remove environments; `cache` removes fetched and built packages; `all` removes both."""
    from ._pixiw_reports import clean_up

    clean_up(_session(ctx, common), environment, what)


def invoke(argv: Sequence[str]) -> int:
    """Run a command line.

    :returns: exit code; see `errors` for those of failures, 130 after Ctrl-C
    """
    verbose = any(word in ("-v", "--verbose") for word in argv)
    raise_on_sigterm()
    try:
        # Not `cli.main`, which would turn Ctrl-C into an exception and a line of its own.
        with cli.make_context("pixiw", list(argv)) as context:
            result = cli.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Terminated:
        return 143
    except KeyboardInterrupt:
        start = "\n" if sys.stderr.isatty() else ""  # a terminal has just printed ^C
        click.echo(f"{start}stopped; nothing is left half-made", err=True)
        return 130
    except RunnerError as error:
        _show(error, verbose=verbose)
        return error.exit_code
    return result if isinstance(result, int) else 0


def _show(error: RunnerError, *, verbose: bool) -> None:
    whose = {Fault.HOST: "error on this host", Fault.RUNNER: "error in pixiw (please report it)"}
    click.echo(f"{whose.get(error.fault, 'error')}: {error.message}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)
    if verbose:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)


def main() -> None:
    """Entry of `scripts/pixiw`."""
    code = invoke(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing here may wait for, or crash in, the shutdown of a native library.
    os._exit(code)


if __name__ == "__main__":
    main()
