"""What is wanted of a mirror, and by whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Want:
    """A package that somebody needs.

    :param spec: conda match spec, e.g. ``numpy >=1.26,<3``
    :param chain: who wants it, outermost first: ``("environment noop", "recipe ai-runner-noop")``
    :param group: wants of one group must be satisfied together; other groups may get other versions
    """

    spec: str
    chain: tuple[str, ...] = ()
    group: str = ""

    def __str__(self) -> str:
        return " → ".join((*self.chain, self.spec))
