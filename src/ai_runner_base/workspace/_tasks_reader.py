"""Tasks of a manifest, in all the forms that pixi allows."""

from __future__ import annotations

import itertools
import re
from typing import Any

from ._model import Task, TaskArgument, TaskCall
from ._toml import Key, Table

_NAME = re.compile(r"[^\s$]+")
_ARGUMENT = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TASK = frozenset(
    {
        *("cmd", "args", "depends-on", "env", "cwd", "inputs", "outputs"),
        *("description", "default-environment"),
    }
)
_TASK_REFUSED = {
    "clean-env": "tasks inherit the environment",
    "depends_on": "this is the old name of depends-on",
}


def read_tasks(tasks: Table) -> dict[str, Task]:
    """Read a ``tasks`` table.

    :raises CallerError: with the line of what is wrong or not understood
    """
    return {name: _read_task(tasks, name) for name in tasks.data}


def _read_task(tasks: Table, name: str) -> Task:
    if not _NAME.fullmatch(name):
        raise tasks.error(name, "names of tasks have no spaces and no $")
    value = tasks.data[name]
    if isinstance(value, str):
        value = {"cmd": value}
    elif isinstance(value, list):
        value = {"depends-on": value}
    table = Table(tasks.document, (*tasks.key, name), value)
    table.only(_TASK, _TASK_REFUSED)
    if "cmd" not in table and "depends-on" not in table:
        raise table.error(None, "a task needs cmd or depends-on")
    args = tuple(_read_argument(table, key, item) for key, item in table.items("args"))
    _check_argument_order(table, args)
    return Task(
        name=name,
        command=_read_command(table),
        args=args,
        depends_on=_read_calls(table),
        env=table.string_map("env"),
        cwd=table.string("cwd") or ".",
        inputs=table.strings("inputs"),
        outputs=table.strings("outputs"),
        description=table.string("description") or "",
        default_environment=table.string("default-environment"),
    )


def _read_command(table: Table) -> str | tuple[str, ...] | None:
    if isinstance(table.data.get("cmd"), list):
        return table.strings("cmd")
    return table.string("cmd")


def _read_argument(task: Table, key: Key, item: Any) -> TaskArgument:
    table = Table(task.document, key, {"arg": item} if isinstance(item, str) else item)
    table.only(frozenset({"arg", "default", "choices"}), {})
    name = table.string("arg") or ""
    if not _ARGUMENT.fullmatch(name) or name == "pixi":
        raise table.error(None, f"{name!r} is no name for an argument: letters, digits and '_', not 'pixi'")
    default = table.data.get("default")
    if default is not None and not isinstance(default, str):
        raise table.error("default", f"must be a string, is {default!r}")
    choices = table.strings("choices")
    if choices and default is not None and default not in choices:
        raise table.error("default", f"{default!r} is not among the choices {', '.join(choices)}")
    return TaskArgument(name, default, choices)


def _check_argument_order(task: Table, args: tuple[TaskArgument, ...]) -> None:
    names = [arg.name for arg in args]
    if len(set(names)) != len(names):
        raise task.error("args", "two arguments have the same name")
    for before, after in itertools.pairwise(args):
        if before.default is not None and after.default is None:
            raise task.error(
                "args", f"{after.name} has no default but stands behind {before.name}, which has"
            )


def _read_calls(task: Table) -> tuple[TaskCall, ...]:
    value = task.data.get("depends-on", [])
    items = value if isinstance(value, list) else [value]
    return tuple(_read_call(task, (*task.key, "depends-on", index), item) for index, item in enumerate(items))


def _read_call(task: Table, key: Key, item: Any) -> TaskCall:
    table = Table(task.document, key, {"task": item} if isinstance(item, str) else item)
    table.only(frozenset({"task", "environment", "args"}), {})
    name = table.string("task")
    if name is None:
        raise table.error("task", "this key is missing")
    args = tuple(_read_call_argument(table, where, arg) for where, arg in table.items("args"))
    return TaskCall(name, table.string("environment"), args)


def _read_call_argument(call: Table, key: Key, item: Any) -> str | tuple[str, str]:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and len(item) == 1:
        name, value = next(iter(item.items()))
        if isinstance(value, str):
            return (name, value)
    raise call.document.error(key, f'must be a string or {{ name = "value" }}, is {item!r}')
