"""What all streams of a runner did, ended ones included: the numbers behind ``/metrics``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ._meters import STAGES, Histogram
from .stream import Stream

MAX_REASONS = 32
"""An orchestrator's words may be in a reason; each one would be a metric of its own."""


@dataclass
class PipelineTotals:
    """Of one pipeline. `frames` counts by outcome, as in ``GET /streams/{id}``."""

    streams: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    params: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    """Streams that are over, by the first words of the reason."""
    stages: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name, _, _ in STAGES})

    def add(self, stream: Stream) -> None:
        """Add what a stream did so far."""
        self.streams += 1
        self.frames.update(stream.frame_counts())
        self.faults.update(stream.fault_counts())
        self.params.update(stream.param_counts())
        for name, histogram in stream.frames.stages:
            self.stages[name].merge(histogram)

    def merge(self, other: PipelineTotals) -> None:
        """Add other totals."""
        self.streams += other.streams
        for mine, theirs in (
            (self.frames, other.frames),
            (self.faults, other.faults),
            (self.params, other.params),
            (self.ends, other.ends),
        ):
            mine.update(theirs)
        for stage, histogram in other.stages.items():
            self.stages[stage].merge(histogram)


class Totals:
    """Sums over the ended streams; the live ones are added when asked."""

    def __init__(self) -> None:
        self._ended: defaultdict[str, PipelineTotals] = defaultdict(PipelineTotals)

    def end(self, stream: Stream) -> None:
        """Take over the numbers of a stream that has ended."""
        totals = self._ended[stream.pipeline]
        totals.add(stream)
        reason = stream.end_reason.partition(":")[0] or "failed"
        totals.ends[reason if len(totals.ends) < MAX_REASONS or reason in totals.ends else "other"] += 1

    def collect(self, live: Iterable[Stream]) -> dict[str, PipelineTotals]:
        """Return the sums by pipeline, those of `live` included."""
        sums: defaultdict[str, PipelineTotals] = defaultdict(PipelineTotals)
        for name, ended in self._ended.items():
            sums[name].merge(ended)
        for stream in live:
            sums[stream.pipeline].add(stream)
        return dict(sums)
