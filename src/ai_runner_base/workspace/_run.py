"""Run tasks in their environments: all but the last as children, the last one in place of this process."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import CallerError
from ._activation import environment_variables, fixed_variables, shell
from ._generations import hold
from ._graph import Job
from ._home import Home
from ._model import Manifest
from ._plan import EnvironmentPlan
from ._ready import Prepared
from ._task_cache import is_fresh, remember_success

_NEEDS_SHELL = re.compile(r"[$`\\\"&|;<>()*?\[\]{}~#!\n]")
_SHELL_WORDS = frozenset(
    {".", ":", "cd", "command", "eval", "exec", "exit", "export", "read", "return", "set"}
)
_SHELL_WORDS |= {"shift", "source", "trap", "type", "ulimit", "umask", "unset", "wait", "alias"}
_SHELL_WORDS |= {"case", "for", "if", "until", "while"}
_GRACE_S = 5.0


class TaskRunner:
    """Runs jobs.

    :param environments: plan and prepared environment for every name that a job uses
    :param say: told in one line what starts; silent with ``-q``
    :param init_cwd: where the person is
    """

    def __init__(
        self,
        manifest: Manifest,
        home: Home,
        environments: Mapping[str, tuple[EnvironmentPlan, Prepared]],
        say: Callable[[str], None],
        init_cwd: Path,
    ) -> None:
        self._manifest, self._home = manifest, home
        self._environments, self._say = environments, say
        self._init_cwd = init_cwd

    def run(self, jobs: Sequence[Job]) -> int:
        """Run jobs in order and stop at the first that fails.

        The last one replaces this process, unless its success must be remembered.

        :returns: exit code; 128 + N for a command that died of signal N
        """
        last = len(jobs) - 1
        for index, job in enumerate(jobs):
            if job.command is None:
                continue
            prepared = self._environments[job.environment][1]
            if is_fresh(job, prepared, self._home, self._manifest.root):
                self._say(f"{self._title(job)} (unchanged, skipped)")
                continue
            if job.task is not None:
                self._say(f"{self._title(job)}: {job.command}")
            if index == last and not job.inputs:
                self._replace_process(job)
            code = self._run_child(job)
            if code != 0:
                return code
            remember_success(job, prepared, self._home, self._manifest.root)
        return 0

    def _title(self, job: Job) -> str:
        return f"{job.label} ({job.environment})"

    def variables(self, environment: str, task_env: Mapping[str, str]) -> dict[str, str]:
        """The variables of a process in one of the environments."""
        plan, prepared = self._environments[environment]
        fixed = fixed_variables(self._manifest, plan, prepared.prefix, self._init_cwd)
        return environment_variables(prepared.activated, os.environ, fixed, plan.activation.env, task_env)

    def _replace_process(self, job: Job) -> None:
        words, env = self._command(job)
        hold(self._environments[job.environment][1].generation)
        self._enter(job.cwd)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(words[0], words, env)

    def _run_child(self, job: Job) -> int:
        words, env = self._command(job)
        if not job.cwd.is_dir():
            raise CallerError(f"task {job.label}: there is no folder {job.cwd}")
        code = run_child(words, env, job.cwd)
        return code if code >= 0 else 128 - code

    def _enter(self, folder: Path) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise CallerError(f"cannot run in {folder}: {error.strerror}") from error

    def _command(self, job: Job) -> tuple[list[str], dict[str, str]]:
        env = self.variables(job.environment, job.env)
        words = plain_words(job.command or "")
        if words is None:
            return [shell(), "-c", job.command or ""], env
        program = shutil.which(words[0], path=env["PATH"])
        if program is None:
            hint = "see the tasks with: pixiw task list"
            where = f"environment {job.environment}"
            raise CallerError(f"there is no task and no program {words[0]!r} in {where}", hint=hint)
        return [program, *words[1:]], env


def plain_words(command: str) -> list[str] | None:
    """The words of a command that needs no shell, else None."""
    outside_quotes = re.sub(r"'[^']*'", "", command)
    if _NEEDS_SHELL.search(outside_quotes):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    is_plain = bool(words) and words[0] not in _SHELL_WORDS and "=" not in words[0]
    return words if is_plain else None


def run_child(words: Sequence[str], env: Mapping[str, str], cwd: Path) -> int:
    """Run a command to its end; pass Ctrl-C and SIGTERM on, and kill it if it does not end within a few seconds.

    :returns: as `subprocess.Popen.returncode`
    :raises KeyboardInterrupt: after the command has ended
    """
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, _frame: object) -> None:
        early.append(number)
        for child in started:
            child.send_signal(number)

    # Handlers stand before the child does: a signal in between must reach it, too.
    before = signal.signal(signal.SIGTERM, forward)
    try:
        with _interrupt_put_off():
            started.append(subprocess.Popen(words, env=env, cwd=cwd))
        for number in early:
            started[0].send_signal(number)
        return started[0].wait()
    except KeyboardInterrupt:
        for child in started:
            _stop(child)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _interrupt_put_off() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of the block."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    noted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted:
        raise KeyboardInterrupt


def _stop(child: subprocess.Popen[bytes]) -> None:
    if not _terminal_told_it():
        child.send_signal(signal.SIGINT)
    for stop in (child.terminate, child.kill):
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(_GRACE_S)
            return
        stop()
    child.wait()


def _terminal_told_it() -> bool:
    """Whether Ctrl-C came from the terminal, which tells the whole foreground group."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
