"""What all streams of a runner did, ended ones included: the numbers behind ``/metrics``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ._meters import STAGES, Histogram
from .stream import Stream


@dataclass
class PipelineTotals:
    """Of one pipeline. `frames` counts by outcome, as in ``GET /streams/{id}``."""

    streams: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    stages: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name, _, _ in STAGES})

    def add(self, stream: Stream) -> None:
        """Add what a stream did so far."""
        self.streams += 1
        self.frames.update(stream.frame_counts())
        for name, histogram in stream.frames.stages:
            self.stages[name].merge(histogram)


class Totals:
    """Sums over the ended streams; the live ones are added when asked."""

    def __init__(self) -> None:
        self._ended: defaultdict[str, PipelineTotals] = defaultdict(PipelineTotals)

    def end(self, stream: Stream) -> None:
        """Take over the numbers of a stream that has ended."""
        self._ended[stream.pipeline].add(stream)

    def collect(self, live: Iterable[Stream]) -> dict[str, PipelineTotals]:
        """Return the sums by pipeline, those of `live` included."""
        sums: defaultdict[str, PipelineTotals] = defaultdict(PipelineTotals)
        for name, ended in self._ended.items():
            sums[name].streams += ended.streams
            sums[name].frames.update(ended.frames)
            for stage, histogram in ended.stages.items():
                sums[name].stages[stage].merge(histogram)
        for stream in live:
            sums[stream.pipeline].add(stream)
        return dict(sums)
