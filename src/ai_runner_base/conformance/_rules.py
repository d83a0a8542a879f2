"""What a rule is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ._bench import Bench

Check = Callable[[Bench], Awaitable[str]]
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


def rule(name: str, text: str, why: str, *, needs: str = "") -> Callable[[Check], Rule]:
    """Make a rule of the function that checks it."""
    return lambda check: Rule(name, text, why, needs, check)
