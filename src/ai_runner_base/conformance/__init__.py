"""Whether a pipeline is a good citizen: it is run in its own environment, by a real supervisor, and measured.

Each rule is one function under ``@rule``; `RULES` has them all. Nothing here needs a GPU, and nothing of the
pipeline is imported into this process.
"""

from ._all import RULES
from ._options import CheckOptions
from ._report import Finding, Outcome, Report
from ._rules import Rule
from ._run import check
from ._speed import Speed, measure_speed

__all__ = [
    "RULES",
    "CheckOptions",
    "Finding",
    "Outcome",
    "Report",
    "Rule",
    "Speed",
    "check",
    "measure_speed",
]
