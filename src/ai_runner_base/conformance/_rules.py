"""The rules, what is measured for each, and how a check says that one is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._bench import Bench

Check = Callable[["Bench"], Awaitable[str]]
"""Measures, and returns what was measured; raises `Broken` or `Skipped`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a good citizen does.

    :param name: for reports and the command line
    :param text: the rule, as a sentence
    :param why: what goes wrong elsewhere when it is broken
    :param needs: name of a rule without which there is nothing to check
    :param check: how it is checked
    """

    name: str
    text: str
    why: str
    needs: str
    check: Check


class Broken(Exception):  # noqa: N818 - a finding, not a fault of this program
    """The pipeline breaks the rule.

    :param measured: the value that was found
    :param detail: what else an author wants to know, such as a traceback
    """

    def __init__(self, measured: str, detail: str = "") -> None:
        super().__init__(measured)
        self.measured = measured
        self.detail = detail


class Skipped(Exception):  # noqa: N818 - a finding, not a fault of this program
    """The rule does not apply, or cannot be checked here; the message says why."""


def rule(name: str, text: str, why: str, *, needs: str = "") -> Callable[[Check], Rule]:
    """Make a rule of the function that checks it."""
    return lambda check: Rule(name, text, why, needs, check)
