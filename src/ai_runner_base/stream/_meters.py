"""What a stream counts about itself, in fixed memory: frame rates and latency histograms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..supervisor import Stamps

_WINDOW_S = 10


class FpsMeter:
    """Frames per second over the last ten seconds, in ten one-second bins.

    Known from the first second on: an empty first window must not read as zero fps.
    """

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._first_s: float | None = None
        self.total = 0
        self.last_s: float | None = None

    def tick(self, now_s: float) -> None:
        """Count one frame at the monotonic time `now_s`."""
        self._first_s = now_s if self._first_s is None else self._first_s
        self.last_s = now_s
        self.total += 1
        second = int(now_s)
        if second not in self._bins:
            self._bins = {s: n for s, n in self._bins.items() if s > second - _WINDOW_S}
        self._bins[second] = self._bins.get(second, 0) + 1

    def fps(self, now_s: float) -> float | None:
        """Return the rate, or None while less than a second has been seen."""
        if self._first_s is None or now_s - self._first_s < 1:
            return None
        newest = int(now_s)
        oldest_s = max(self._first_s, newest - _WINDOW_S + 1)
        frames = sum(n for s, n in self._bins.items() if s > newest - _WINDOW_S)
        return frames / max(now_s - oldest_s, 1e-3)


BOUNDS_MS: tuple[float, ...] = (0.25, 0.5, 1, 2, 4, 8, 12, 16, 24, 33, 50, 67, 100, 150, 250, 500, 1000, 3000)
"""Upper bounds of the latency buckets in milliseconds; the field's frame periods are among them."""


@dataclass
class Histogram:
    """Latencies in fixed buckets (`BOUNDS_MS`, then infinity)."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum_ms: float = 0.0
    max_ms: float = 0.0

    def add(self, ms: float) -> None:
        """Count one latency in milliseconds; negative ones (clock steps of a peer) count as zero."""
        ms = max(ms, 0.0)
        index = next((i for i, bound in enumerate(BOUNDS_MS) if ms <= bound), len(BOUNDS_MS))
        self.counts[index] += 1
        self.sum_ms += ms
        self.max_ms = max(self.max_ms, ms)

    def merge(self, other: Histogram) -> None:
        """Add all latencies of another one."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_ms += other.sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)

    @property
    def count(self) -> int:
        """How many latencies were added."""
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """Return the quantile in milliseconds, interpolated inside its bucket; None when empty."""
        target = q * self.count
        if not target:
            return None
        seen, low = 0, 0.0
        for bound, n in zip((*BOUNDS_MS, math.inf), self.counts, strict=True):
            high = min(bound, self.max_ms)
            if n and seen + n >= target:
                return low + (high - low) * (target - seen) / n if high > low else high
            seen, low = seen + n, bound
        return self.max_ms

    def summary(self) -> dict[str, float | int | None]:
        """Return count, p50, p95, p99 and max, rounded to a hundredth of a millisecond."""
        values = {f"p{round(q * 100)}_ms": self.quantile(q) for q in (0.5, 0.95, 0.99)}
        rounded = {k: None if v is None else round(v, 2) for k, v in values.items()}
        return {"count": self.count, **rounded, "max_ms": round(self.max_ms, 2)}


STAGES: tuple[tuple[str, str, str], ...] = (
    ("decode", "received_ns", "decoded_ns"),
    ("fit", "decoded_ns", "committed_ns"),
    ("wait", "committed_ns", "taken_ns"),
    ("infer", "taken_ns", "answered_ns"),
    ("return", "answered_ns", "returned_ns"),
    ("encode", "returned_ns", "encoded_ns"),
    ("total", "received_ns", "encoded_ns"),
)
"""Name of each stage, and the stamps (`supervisor.Stamps`, and the sink's own) at which it begins and ends."""


class StageMeter:
    """One histogram per stage of a frame's way."""

    def __init__(self) -> None:
        self.histograms = {name: Histogram() for name, _, _ in STAGES}

    def add(self, stamps: Stamps, encoded_ns: int) -> None:
        """Count one frame; a stage with a missing stamp (0) is left out."""
        moments = {**stamps._asdict(), "encoded_ns": encoded_ns}
        for name, first, last in STAGES:
            if moments[first] and moments[last]:
                self.histograms[name].add((moments[last] - moments[first]) / 1e6)

    def __iter__(self) -> Iterator[tuple[str, Histogram]]:
        return iter(self.histograms.items())

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Return the summary of every stage that saw a frame."""
        return {name: h.summary() for name, h in self if h.count}
