"""Which task runs where, with which words, after which others: pixi's rules, no process started here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CallerError
from ._model import Environment, Manifest, Platform, Task, TaskCall
from ._plan import find_environment, tasks
from ._platforms import Host, runnable_platform, supported_platforms


@dataclass(frozen=True, slots=True)
class Job:
    """A task, or a plain command, ready to run in an environment.

    :param label: for messages: the task's name, or the program
    :param command: shell text; None for a task that only groups others
    :param cwd: absolute
    :param task: None for a plain command
    """

    environment: str
    label: str
    command: str | None
    cwd: Path
    task: Task | None = None
    env: dict[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Node:
    environment: str
    task: Task
    values: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


class TaskGraph:
    """Finds tasks and what they depend on.

    :param environment: the one asked for with ``-e``, else None
    :param cwd: where a plain command runs
    """

    def __init__(self, manifest: Manifest, host: Host, environment: str | None, cwd: Path) -> None:
        self._manifest, self._host, self._cwd = manifest, host, cwd
        self._asked = find_environment(manifest, environment) if environment is not None else None

    def jobs(self, words: Sequence[str]) -> list[Job]:
        """What ``run WORDS`` has to do, dependencies first; a task that several need runs once.

        :raises CallerError: several environments have the task, wrong arguments, a cycle
        """
        name, rest = (words[0], list(words[1:])) if len(words) > 1 else self._split(words[0])
        found = self._find(name, None)
        if found is None:
            return [self.command(words)]
        environment, task = found
        values, extra = _bind(task, *_command_line(task, rest))
        ordered: list[_Node] = []
        self._visit(_Node(environment.name, task, values, extra), ordered, ())
        return [self._job(node) for node in ordered]

    def _split(self, text: str) -> tuple[str, list[str]]:
        """A single word may be a whole command line: ``run "serve --port 9000"``."""
        try:
            words = shlex.split(text)
        except ValueError:
            return text, []
        return (words[0], words[1:]) if words else (text, [])

    def command(self, words: Sequence[str]) -> Job:
        """A program of the environment, or shell text in a single word; runs where the person is."""
        environment = self._asked.name if self._asked is not None else "default"
        text = words[0] if len(words) == 1 else shlex.join(words)
        return Job(environment, words[0], text, self._cwd)

    def _find(self, name: str, asked: Environment | None) -> tuple[Environment, Task] | None:
        """Where a task runs (source: pixi's task lookup, restated in ``docs/pixiw.md``)."""
        asked = asked or self._asked
        if asked is not None:
            task = self._tasks(asked).get(name)
            return (asked, task) if task is not None else None
        environments = self._manifest.environments
        default = environments["default"]
        task = self._tasks(default).get(name)
        if task is not None:
            preferred = environments.get(task.default_environment or "")
            if preferred is not None and self._runs(preferred) and name in self._tasks(preferred):
                return preferred, self._tasks(preferred)[name]
            others = [self._tasks(other).get(name) for other in environments.values() if self._runs(other)]
            if all(other is None or other is task for other in others):
                return default, task
        having = [
            (other, self._tasks(other)[name]) for other in environments.values() if name in self._tasks(other)
        ]
        if len(having) > 1:
            names = ", ".join(environment.name for environment, _ in having)
            raise CallerError(f"task {name} is in several environments: {names}", hint="choose one with -e")
        return having[0] if having else None

    def _runs(self, environment: Environment) -> bool:
        return runnable_platform(self._manifest, environment, self._host) is not None

    def _platform(self, environment: Environment) -> Platform:
        """The platform whose tasks count; for an environment that cannot run here, its first one."""
        found = runnable_platform(self._manifest, environment, self._host)
        supported = supported_platforms(self._manifest, environment)
        return found or next(iter(supported), self._manifest.platforms[0])

    def _tasks(self, environment: Environment) -> dict[str, Task]:
        return tasks(environment, self._platform(environment))

    def _visit(self, node: _Node, ordered: list[_Node], path: tuple[_Node, ...]) -> None:
        if node in path:
            names = " -> ".join(step.task.name for step in (*path, node))
            raise CallerError(f"tasks depend on each other in a circle: {names}")
        if node in ordered:
            return
        for call in node.task.depends_on:
            self._visit(self._called(node, call), ordered, (*path, node))
        ordered.append(node)

    def _called(self, caller: _Node, call: TaskCall) -> _Node:
        asked = find_environment(self._manifest, call.environment) if call.environment is not None else None
        found = self._find(call.task, asked)
        if found is None:
            where = f" in environment {asked.name}" if asked is not None else ""
            raise CallerError(f"task {caller.task.name} depends on {call.task}, which is not there{where}")
        environment, task = found
        positional = [self._render(caller, arg) for arg in call.args if isinstance(arg, str)]
        named = {arg[0]: self._render(caller, arg[1]) for arg in call.args if not isinstance(arg, str)}
        if task.args:
            return _Node(environment.name, task, *_bind(task, positional, named, []))
        words = (*positional, *(f"{name}={value}" for name, value in named.items()))
        return _Node(environment.name, task, (), words)

    def _render(self, node: _Node, text: str) -> str:
        if "{{" not in text and "{%" not in text:
            return text
        return _render(text, dict(node.values), self._builtins(node), node.task.name)

    def _builtins(self, node: _Node) -> dict[str, Any]:
        platform = self._platform(self._manifest.environments[node.environment])
        return {
            "platform": platform.subdir,
            "environment": {"name": node.environment},
            "manifest_path": str(self._manifest.path),
            "init_cwd": str(self._cwd),
            "is_linux": platform.subdir.startswith("linux-"),
            "is_osx": platform.subdir.startswith("osx-"),
            "is_win": platform.subdir.startswith("win-"),
            "is_unix": not platform.subdir.startswith("win-"),
        }

    def _job(self, node: _Node) -> Job:
        task = node.task
        if isinstance(task.command, tuple):
            command: str | None = shlex.join(self._render(node, word) for word in task.command)
        else:
            command = None if task.command is None else self._render(node, task.command)
        if command is not None and node.words:
            command = f"{command} {shlex.join(node.words)}"
        return Job(
            environment=node.environment,
            label=task.name,
            command=command,
            cwd=Path(os.path.normpath(self._manifest.root / task.cwd)),
            task=task,
            env={name: self._render(node, value) for name, value in task.env.items()},
            inputs=tuple(self._render(node, text) for text in task.inputs),
            outputs=tuple(self._render(node, text) for text in task.outputs),
        )


def _command_line(task: Task, words: list[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Sort the words behind a task's name into positional ones, ``--name=value`` ones and extra ones."""
    if not task.args:
        return [], {}, words[1:] if words[:1] == ["--"] else words
    extra: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, extra = words[:cut], words[cut + 1 :]
    names = {argument.name for argument in task.args}
    positional, named = [], {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and equals and name in names:
            named[name] = value
        else:
            positional.append(word)
    return positional, named, extra


def _bind(
    task: Task, positional: list[str], named: dict[str, str], extra: list[str]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Give every argument of a task a value.

    :raises CallerError: too many, unknown, missing, or not among the choices
    """
    if len(positional) > len(task.args):
        hint = "put words for the command itself behind --"
        raise CallerError(
            f"task {task.name} takes {len(task.args)} arguments, got {len(positional)}", hint=hint
        )
    if unknown := set(named) - {argument.name for argument in task.args}:
        raise CallerError(f"task {task.name} has no argument {', '.join(sorted(unknown))}")
    values: list[tuple[str, str]] = []
    for index, argument in enumerate(task.args):
        given = positional[index] if index < len(positional) else argument.default
        value = named.get(argument.name, given)
        if value is None:
            raise CallerError(f"task {task.name} needs the argument {argument.name}")
        if argument.choices and value not in argument.choices:
            choices = ", ".join(argument.choices)
            raise CallerError(f"task {task.name}: {argument.name} is {value!r}, must be one of {choices}")
        values.append((argument.name, value))
    return tuple(values), tuple(extra)


def _render(text: str, values: dict[str, str], builtins: dict[str, Any], task: str) -> str:
    import jinja2  # only tasks with templates pay for it

    try:
        template = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(text)
        return template.render({**values, "pixi": builtins})
    except jinja2.TemplateError as error:
        raise CallerError(f"task {task}: cannot fill in {text!r}: {error}") from error
