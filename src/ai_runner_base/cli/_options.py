"""Options that several commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click


def _split(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(Path(part) for value in values for part in value.split(os.pathsep) if part)


_Command = TypeVar("_Command", bound=Callable[..., Any])

environments_option: Callable[[_Command], _Command] = click.option(
    "--environments",
    multiple=True,
    envvar="AI_RUNNER_ENVIRONMENTS",
    callback=_split,
    metavar="PATH[:PATH…]",
    help="Prefixes to look for pipelines in, beside this one and its siblings.",
)


def parse_params(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Turn ``k=v`` pairs into parameters; values are JSON where they parse, else text.

    :raises click.BadParameter: a pair has no ``=``
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{pair!r} is not of the form name=value", param_hint="--param")
        try:
            params[key] = json.loads(text)
        except ValueError:
            params[key] = text
    return params


params_option: Callable[[_Command], _Command] = click.option(
    "--param",
    "-p",
    "param_pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the pipeline; repeatable.",
)


def examples(*lines: str) -> str:
    """A command's epilog; each line stays a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
