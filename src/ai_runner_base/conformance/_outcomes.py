"""How a check says that its rule is broken, or that there is nothing to check."""

from __future__ import annotations


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
